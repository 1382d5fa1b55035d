"""Signer processes obey the policy they were given, and nothing without one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.guards import open_guard
from custody import PolicyGuard, PolicySettings
from custody.policy import Rulebook
from domain import ChainId, InputError, Refused
from tests.support.approvers import USDC, VAULT, transfer_data
from tests.support.policies import ADMINS, PARTNER, document, nothing_spent, signed
from wallets import DenyAll, Guard, Network, TransactionToSign

PAY = TransactionToSign(
    chain_id=ChainId(1), nonce=0, to=USDC, data=transfer_data(PARTNER, 5), gas_limit=90_000, max_fee_per_gas_wei=1
)


def ask(guard: Guard) -> str:
    try:
        guard.check_transaction(VAULT, PAY, network=Network.LIVE, spent=nothing_spent, evidence=None)
    except Refused as exc:
        return exc.rule
    return ""


def put(folder: Path, rulebook: Rulebook) -> tuple[Path, Path]:
    bundle, admins = folder / "policy.json", folder / "admins.yaml"
    bundle.write_text(signed(rulebook).to_json(), encoding="utf-8")
    names = ", ".join(f"{name}: '{key}'" for name, key in ADMINS.keys.items())
    admins.write_text(f"threshold: 2\nadmins: {{{names}}}", encoding="utf-8")
    return bundle, admins


async def test_a_process_obeys_a_bundle_and_refuses_to_go_back(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    async with AsyncExitStack() as opened:
        bundle, admins = put(tmp_path, document())
        assert ask(open_guard(None, bundle, admins, beside=journal, opened=opened)) == ""
        put(tmp_path, document(version=8, rules="  - {id: stop, effect: deny}"))
        assert ask(open_guard(None, bundle, admins, beside=journal, opened=opened)) == "stop"
        put(tmp_path, document())
        assert ask(open_guard(None, bundle, admins, beside=journal, opened=opened)) == "stop"
    assert {path.name for path in tmp_path.glob("journal-*")} >= {"journal-policy.json", "journal-approvals.db"}


async def test_the_small_form_works_as_before_and_without_any_policy_nothing_is_signed(tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:
        small = open_guard(PolicySettings(chain_id=1), None, None, beside=tmp_path / "j.db", opened=opened)
        assert isinstance(small, PolicyGuard)
        assert ask(small) == "recipient"
        assert isinstance(open_guard(None, None, None, beside=tmp_path / "j.db", opened=opened), DenyAll)


async def test_a_bundle_without_pinned_administrators_is_no_policy(tmp_path: Path) -> None:
    bundle, admins = put(tmp_path, document())
    async with AsyncExitStack() as opened:
        for pair in ((bundle, None), (None, admins)):
            with pytest.raises(InputError, match="belong together"):
                open_guard(None, *pair, beside=tmp_path / "j.db", opened=opened)
