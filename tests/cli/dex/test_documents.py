"""Permits are signed as transactions are: judged twice, audited, and not while the vault is frozen."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from sqlmodel import col, select

from chain.devnet import TEST_ADDRESSES
from cli.dex.desk import open_desk
from cli.dex.options import DeskPlace
from custody import PolicyGuard, PolicySettings, freeze
from custody.audit import AuditLog, AuditRow
from custody.freeze import Freezes
from custody.policy import Policy
from dex.execution.permits import Permit
from domain import InputError, Refused
from wallets import Network, TypedDataToSign

pytestmark = pytest.mark.anvil
TRADER, STRANGER = TEST_ADDRESSES[5], TEST_ADDRESSES[9]


@pytest.fixture
async def desk(devnet, tmp_path):
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as opened:
        yield opened


@pytest.fixture
def permit(devnet):
    at = devnet.world
    return Permit(
        chain_id=at.chain_id,
        token=at.tokens["WETH"].address,
        amount=10**18,
        spender=at.contracts["UniversalRouter"],
        nonce=0,
        expires_s=2**40,
    )


async def rule_of(desk, document):
    with pytest.raises(Refused) as refused:
        await desk.custody.documents.sign(document, intent_id="permit-1")
    return refused.value.rule


async def test_a_permit_is_signed_by_the_account_and_written_to_the_audit_log(desk, permit):
    document = permit.document()
    signature = await desk.custody.documents.sign(document, intent_id="permit-1", initiator="dex")
    # Another library's hash of the document, and its recovery.
    recovered = Account.recover_message(encode_typed_data(full_message=document), signature=signature.to_bytes())
    assert recovered == TRADER
    with desk.database.snapshot() as session:
        found = select(AuditRow.subject, AuditRow.detail).where(col(AuditRow.kind) == "document.signing")
        ((subject, detail),) = session.exec(found).all()
    assert subject == "document/permit-1"
    assert '"type":"PermitSingle"' in detail


async def test_what_policy_does_not_allow_is_not_signed(desk, permit):
    assert await rule_of(desk, replace(permit, spender=STRANGER).document()) == "spender"
    assert await rule_of(desk, replace(permit, amount=10**40).document()) == "approval-limit"
    assert await rule_of(desk, replace(permit, token=STRANGER).document()) == "asset"
    with pytest.raises(InputError, match="is for chain 1"):
        await desk.custody.documents.sign(replace(permit, chain_id=1).document(), intent_id="permit-1")
    other = permit.document() | {"primaryType": "Mail"}
    assert await rule_of(desk, other) == "unknown-document"
    with desk.database.snapshot() as session:
        assert session.exec(select(AuditRow).where(col(AuditRow.kind) == "document.signing")).all() == []


async def test_a_frozen_vault_signs_no_permit(desk, permit):
    clock = time.time_ns
    freezes = Freezes(desk.database, AuditLog(desk.database, clock), clock)
    freezes.impose(freeze.vault_scope(TRADER), source="operator:ann", reason="looking")
    assert await rule_of(desk, permit.document()) == "frozen"


async def test_a_denied_spender_stops_it_before_policy_is_asked(desk, permit):
    (desk.root / "deny-list.txt").write_text(f"{permit.spender} sanctioned\n")
    assert await rule_of(desk, permit.document()) == "deny-list"


def test_a_signer_whose_own_policy_lists_no_permits_signs_none(permit):
    settings = {"chain_id": permit.chain_id, "spenders": (permit.spender,)}
    limits = {f"eip155:{permit.chain_id}/erc20:{permit.token}": {"approval_raw": 10**18}}
    without = PolicySettings.model_validate(settings | {"assets": limits})
    with_it = without.model_copy(update={"documents": frozenset({"PermitSingle"})})
    data = TypedDataToSign(permit.document())
    with pytest.raises(Refused) as refused:
        PolicyGuard(Policy(without)).check_typed_data(TRADER, data, network=Network.DEVNET, evidence=None)
    assert refused.value.rule == "typed-data"
    PolicyGuard(Policy(with_it)).check_typed_data(TRADER, data, network=Network.DEVNET, evidence=None)
    with pytest.raises(ValueError, match="not permits: SafeTx"):
        PolicySettings.model_validate({"chain_id": 1, "documents": ["SafeTx"]})
