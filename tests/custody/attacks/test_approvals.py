"""Approvals that are stolen, stale, repeated, forged or given for something else, tried at every door."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.devnet import Devnet
from chain.keccak import checksum
from custody.approvals import approve, key_text
from custody.policy import Policy, read_rulebook
from domain import Address, InputError, Refused
from tests.custody.attacks.conftest import Party
from tests.custody.attacks.town import (
    CHAIN,
    PARTNER,
    THIEF,
    VAULT,
    Clock,
    CosignerDoor,
    CustodyDoor,
    Payload,
    SignerDoor,
    call,
    evidence_of,
    plan_of,
    policy_for,
    transfer,
    tx,
    usdc_of,
)
from tests.support.approvers import key_of
from tests.wallets.mpc.conftest import WALLET
from wallets import Network, TransactionToSign
from wallets.mpc import MpcSigner

pytestmark = pytest.mark.anvil

LOOK_ALIKE = checksum(PARTNER[:6] + "cd" * 16 + PARTNER[-4:])
Guarded = SignerDoor | CosignerDoor


def payment(devnet: Devnet, usdc: int = 1_500, *, to: str = PARTNER, nonce: int = 0) -> TransactionToSign:
    return tx(devnet.world.tokens["USDC"].address, transfer(to, usdc * 10**6), nonce=nonce)


def plan(door: CustodyDoor, intent_id: str, usdc: int = 1_500) -> Any:
    what = tx(door.world.tokens["USDC"].address, transfer(PARTNER, usdc * 10**6))
    return plan_of(what, VAULT, intent_id, spends={usdc_of(door.world): usdc * 10**6}, recipient=Address(PARTNER))


async def refusal_of(guarded: Guarded, what: TransactionToSign, evidence: Any = None) -> str:
    with pytest.raises(Refused) as refusal:
        await guarded.ask(Payload(what, evidence))
    return refusal.value.rule


def refused(rule: str, action: Any, *arguments: Any) -> None:
    with pytest.raises(Refused) as refusal:
        action(*arguments)
    assert refusal.value.rule == rule


# --- through custody


async def test_stale_approvals_end_with_their_intent(door: CustodyDoor, clock: Clock) -> None:
    await door.submit(plan(door, "stale"))
    await door.asked("stale")
    door.say("stale", "alice")
    clock.now_s += 24 * 3600
    refused("approval-over", door.say, "stale", "bob")
    told = await door.outcome("stale")
    assert (told.status, told.reason.partition(":")[0]) == ("refused", "approval-expired")
    assert door.signer.door.signatures() == 0


async def test_a_policy_edited_after_an_approval_voids_it(door: CustodyDoor, clock: Clock) -> None:
    await door.submit(plan(door, "edited"))
    await door.asked("edited")
    door.say("edited", "alice")
    door.active.append(policy_for(door.world, VAULT, version=2))
    refused("approval-over", door.say, "edited", "bob")
    told = await door.outcome("edited")
    assert (told.status, told.reason.partition(":")[0]) == ("refused", "approval-expired")
    assert door.signer.door.signatures() == 0


async def test_whoever_asked_cannot_approve(door: CustodyDoor) -> None:
    await door.submit(plan(door, "own"), initiator="alice")
    await door.asked("own")
    refused("initiator", door.say, "own", "alice")
    door.say("own", "bob")
    assert await door.custody.in_flight() == ["own"]
    assert door.signer.door.signatures() == 0


async def test_an_approval_of_one_intent_is_none_of_another(door: CustodyDoor) -> None:
    for name in ("first", "second"):
        await door.submit(plan(door, name))
        await door.asked(name)
    first = door.desk.find("first")
    refused("approval-signature", door.desk.add, "second", approve(key_of("alice"), first.intent, first.text))
    with pytest.raises(InputError, match="first"):
        await door.submit(plan(door, "first", usdc=1_600))


async def test_one_amount_split_into_many_meets_the_daily_limit(door: CustodyDoor) -> None:
    for number in range(5):
        await door.submit(plan(door, f"part-{number}", usdc=900))
    told = [await door.outcome(f"part-{number}") for number in range(5)]
    # Which three are judged first is the desk's affair.
    refused = [each for each in told if each.status == "refused"]
    assert sorted(each.status for each in told) == ["mined"] * 3 + ["refused"] * 2
    assert {each.reason.partition(":")[0] for each in refused} == {"velocity"}


async def test_people_are_not_asked_about_a_look_alike(door: CustodyDoor) -> None:
    weth = door.world.tokens["WETH"].address
    what = tx(weth, transfer(LOOK_ALIKE, 10**18))
    asset = replace(usdc_of(door.world), id=f"eip155:1337/erc20:{weth}", symbol="WETH", decimals=18)
    await door.submit(plan_of(what, VAULT, "poisoned", spends={asset: 10**18}, recipient=Address(LOOK_ALIKE)))
    told = await door.outcome("poisoned")
    assert told.reason.startswith("look-alike:"), told.reason


# --- past custody


async def test_stolen_approvals_pay_once(guarded: Guarded, devnet: Devnet, policy: Policy, clock: Clock) -> None:
    what = payment(devnet)
    evidence = evidence_of(policy, guarded.address, what, "alice", "bob", expires_s=clock.now_s + 600)
    await guarded.ask(Payload(what, evidence))
    assert await refusal_of(guarded, replace(what, nonce=1), evidence) == "approval-replayed"
    assert guarded.signatures() == 1


async def test_stale_approvals_are_refused(guarded: Guarded, devnet: Devnet, policy: Policy, clock: Clock) -> None:
    what = payment(devnet)
    evidence = evidence_of(policy, guarded.address, what, "alice", "bob", expires_s=clock.now_s + 600)
    clock.now_s += 600
    assert await refusal_of(guarded, what, evidence) == "approval-expired"


async def test_approvals_under_another_policy_are_refused(guarded: Guarded, devnet: Devnet, clock: Clock) -> None:
    what, other = payment(devnet), policy_for(devnet.world, guarded.address, version=2)
    evidence = evidence_of(other, guarded.address, what, "alice", "bob", expires_s=clock.now_s + 600)
    assert await refusal_of(guarded, what, evidence) == "policy-changed"


@pytest.mark.parametrize(
    ("people", "initiator", "rule"),
    [
        ((), "engine", "no-approval"),
        (("alice",), "engine", "approvals-missing"),
        (("alice", "alice"), "engine", "approvals-missing"),
        (("alice", "mallory"), "engine", "approvals-missing"),
        (("alice", "bob"), "alice", "initiator"),
    ],
)
async def test_no_quorum_no_signature(
    guarded: Guarded,
    devnet: Devnet,
    policy: Policy,
    clock: Clock,
    people: tuple[str, ...],
    initiator: str,
    rule: str,
) -> None:
    what = payment(devnet)
    evidence = evidence_of(policy, guarded.address, what, *people, initiator=initiator, expires_s=clock.now_s + 600)
    assert await refusal_of(guarded, what, evidence) == rule
    assert await refusal_of(guarded, what) == "no-approval"


@pytest.mark.parametrize("change", ["amount", "recipient", "fees", "vault", "chain"])
async def test_another_transaction_than_was_approved_is_refused(
    guarded: Guarded, devnet: Devnet, policy: Policy, clock: Clock, change: str
) -> None:
    approved = payment(devnet)
    owner = VAULT if guarded.address != VAULT else policy.document.vaults["hot"][1]
    asked, sender = {
        "amount": (payment(devnet, 1_900), guarded.address),
        "recipient": (payment(devnet, to=THIEF), guarded.address),
        "fees": (replace(approved, max_fee_per_gas_wei=approved.max_fee_per_gas_wei + 1), guarded.address),
        "vault": (approved, owner),
        "chain": (approved, guarded.address),
    }[change]
    about = replace(approved, chain_id=1) if change == "chain" else approved
    if change == "chain":  # nobody can be shown another chain's token in words: the intent alone is changed
        evidence = evidence_of(policy, sender, approved, "alice", "bob", expires_s=clock.now_s + 600)
        evidence["intent"]["subject"]["chain_id"] = "1"
    else:
        evidence = evidence_of(policy, sender, about, "alice", "bob", expires_s=clock.now_s + 600)
    assert await refusal_of(guarded, asked, evidence) == "approval-subject"
    assert guarded.signatures() == 0


@pytest.mark.parametrize("lie", ["text", "signature", "key", "intent", "initiator", "expiry"])
async def test_evidence_that_was_tampered_with_is_refused(
    guarded: Guarded, devnet: Devnet, policy: Policy, clock: Clock, lie: str
) -> None:
    what = payment(devnet)
    evidence = evidence_of(policy, guarded.address, what, "alice", "bob", expires_s=clock.now_s + 600)
    forged = copy.deepcopy(evidence)
    if lie == "text":
        forged["text"] = forged["text"].replace("1,500", "15")
    elif lie == "signature":
        forged["approvals"][1]["proof"] = forged["approvals"][0]["proof"]
    elif lie == "key":
        forged["approvals"][1]["key"] = key_text(key_of("carol").public_key())
    elif lie == "intent":
        forged["intent"]["intent_id"] = "w-2"
    elif lie == "initiator":
        forged["intent"]["initiator"] = "carol"
    else:
        forged["intent"]["expires_s"] = str(clock.now_s + 10**6)
    rule = "approval-signature" if lie in ("signature", "key") else "approval-text"
    assert await refusal_of(guarded, what, forged) == rule
    if lie in ("intent", "initiator", "expiry"):  # and with a text that fits, the signatures do not
        from custody.approvals import CanonicalIntent

        forged["text"] = CanonicalIntent.from_document(forged["intent"]).render(policy.names)
        assert await refusal_of(guarded, what, forged) == "approval-signature"


async def test_one_amount_split_into_many_is_counted_by_each_signer(guarded: Guarded, devnet: Devnet) -> None:
    for nonce in range(3):
        await guarded.ask(Payload(payment(devnet, 900, nonce=nonce)))
    assert await refusal_of(guarded, payment(devnet, 900, nonce=3)) == "velocity"
    assert guarded.signatures() == 3


async def test_a_look_alike_is_not_signed_whatever_its_approvers_were_shown(
    guarded: Guarded, devnet: Devnet, policy: Policy, clock: Clock
) -> None:
    weth = devnet.world.tokens["WETH"].address
    honest, poisoned = tx(weth, transfer(PARTNER, 10**18)), tx(weth, transfer(LOOK_ALIKE, 10**18))
    evidence = evidence_of(policy, guarded.address, honest, "alice", "bob", expires_s=clock.now_s + 600)
    evidence["intent"]["subject"]["data"] = "0x" + poisoned.data.hex()
    evidence["text"] = evidence["text"].replace(PARTNER, LOOK_ALIKE)
    assert await refusal_of(guarded, poisoned, evidence) == "look-alike"


async def test_approvals_do_not_reach_a_child_of_the_key(
    parties: list[Party], committee: tuple[Path, Address], devnet: Devnet, policy: Policy, clock: Clock
) -> None:
    """mpcium #162: what was approved for one derivation path was signed for another. The coordinator says parent."""
    what = payment(devnet)
    evidence = evidence_of(policy, committee[1], what, "alice", "bob", expires_s=clock.now_s + 600)
    child = await MpcSigner.connect(
        parties, parties[0].home.committee, wallet=WALLET, address=committee[1], path="m/0/7"
    )
    small = payment(devnet, 10)
    for payload, shown, rule in ((what, evidence, "approval-subject"), (small, None, "vault")):
        with pytest.raises(Refused) as refusal:
            await child.sign_transaction(payload, network=Network.DEVNET, evidence=shown)
        assert refusal.value.rule == rule


# --- words


def test_a_symbol_that_looks_like_another_is_no_name(devnet: Devnet) -> None:
    with pytest.raises(InputError):
        read_rulebook(
            f"""
version: 1
assets: {{"USD\u0421": {{id: "eip155:1337/erc20:{THIEF}", decimals: 6}}}}
chains: {{1337: {{}}}}
rules: []
"""
        )


async def test_a_descriptor_permits_nothing(tmp_path: Path, devnet: Devnet, clock: Clock) -> None:
    descriptor = f"""
descriptors:
  - context: {{contract: {{deployments: [{{chainId: 1337, address: "{THIEF}"}}]}}}}
    metadata: {{}}
    display:
      formats:
        "transfer_(address to, uint256 reward)":
          intent: Claim your reward
          fields: [{{path: reward, label: Reward}}, {{path: to, label: To, format: addressName}}]
"""
    policy = policy_for(devnet.world, VAULT, more=descriptor)
    door = SignerDoor(tmp_path / "described", policy, clock)
    what = tx(THIEF, call("transfer_", ("address", "uint256"), PARTNER, 10**6), chain_id=CHAIN)
    assert await refusal_of(door, what) == "kind"
    door.close()
