"""The signer's own judgement: a coordinator that skips policy, or lies, gets nothing signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custody import PolicyGuard
from custody.approvals import (
    Approval,
    ApprovalUses,
    Authorization,
    CanonicalIntent,
    ChainCall,
    Delegation,
    Subject,
    TypedDocument,
    approve,
)
from custody.policy import BundlePolicy, Policy, Proposal, Rests
from custody.policy.attestations import attest, subject_of
from domain import Address, ChainId, Refused
from runtime import ManualClock
from tests.support.approvers import PARTNER, USDC, VAULT, key_of, transfer_data
from tests.support.policies import (
    ADMINS,
    NOW_S,
    STRANGER,
    USDC_ID,
    Tally,
    document,
    nothing_spent,
    permit,
    policy,
    signed,
)
from wallets import AuthorizationToSign, KeySigner, MessageToSign, Network, TransactionToSign, TypedDataToSign


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_S * 10**9)


class Signer:
    """A guard with its memories, asked as a signer process asks."""

    def __init__(self, folder: Path, clock: ManualClock, source: Policy | BundlePolicy | None = None) -> None:
        self.source = source or policy()
        self.uses, self.rests = ApprovalUses(folder / "uses.db"), Rests(folder / "rests.db")
        self.guard = PolicyGuard(self.source, uses=self.uses, rests=self.rests, now_ns=clock.now_ns)

    def ask(self, tx: TransactionToSign, evidence: Any = None, spent: Any = nothing_spent) -> Any:
        return self.guard.check_transaction(VAULT, tx, network=Network.LIVE, spent=spent, evidence=evidence)

    def refusal(self, tx: TransactionToSign, evidence: Any = None, spent: Any = nothing_spent) -> str:
        with pytest.raises(Refused) as error:
            self.ask(tx, evidence, spent)
        return error.value.rule


@pytest.fixture
def signer(tmp_path: Path, clock: ManualClock) -> Iterator[Signer]:
    found = Signer(tmp_path, clock)
    yield found
    found.uses.close()
    found.rests.close()


def pay(usdc: int, *, to: str = PARTNER, nonce: int = 0, fee: int = 10**9) -> TransactionToSign:
    data = transfer_data(to, usdc * 10**6)
    return TransactionToSign(
        chain_id=ChainId(1), nonce=nonce, to=USDC, data=data, gas_limit=100_000, max_fee_per_gas_wei=fee
    )


def shown(
    about: TransactionToSign | Subject,
    *people: str,
    by: Policy | None = None,
    initiator: str = "erin",
    intent_id: str = "w-1",
) -> dict[str, Any]:
    """The evidence for a transaction or another subject, approved by some people."""
    judge = by or policy()
    intent = CanonicalIntent(
        intent_id=intent_id,
        vault="hot",
        initiator=initiator,
        subject=ChainCall.of(VAULT, about) if isinstance(about, TransactionToSign) else about,
        expires_s=NOW_S + 600,
        policy_version=judge.version,
        policy_digest=judge.digest,
    )
    text = intent.render(judge.names)
    approvals: list[Approval] = [approve(key_of(name), intent, text) for name in people]
    return {"intent": intent.to_document(), "text": text, "approvals": [a.to_document() for a in approvals]}


def test_small_amounts_pass_alone_and_large_ones_with_two_approvals(signer: Signer) -> None:
    assert signer.ask(pay(900)) == {USDC_ID: 900 * 10**6}
    large = pay(1_500)
    assert signer.refusal(large) == "no-approval"
    assert signer.refusal(large, shown(large, "alice")) == "approvals-missing"
    assert signer.refusal(large, shown(large, "alice", "mallory")) == "approvals-missing"
    assert signer.ask(large, shown(large, "alice", "bob")) == {USDC_ID: 1_500 * 10**6}


def test_another_transaction_than_the_approvers_saw_is_not_signed(signer: Signer) -> None:
    evidence = shown(pay(1_500), "alice", "bob")
    assert signer.refusal(pay(1_501), evidence) == "approval-subject"
    assert signer.refusal(pay(1_500, fee=2 * 10**9), evidence) == "approval-subject"
    # An intent about something else is refused even where nobody had to approve.
    assert signer.refusal(pay(10), evidence) == "approval-subject"
    assert signer.refusal(pay(1_500), {**evidence, "text": evidence["text"].replace("1,500", "15")}) == "approval-text"


def test_approvals_pay_once(signer: Signer, clock: ManualClock) -> None:
    large = pay(1_500)
    signer.ask(large, shown(large, "alice", "bob"))
    signer.ask(large, shown(large, "alice", "bob"))
    assert signer.refusal(pay(1_500, nonce=1), shown(large, "alice", "bob")) == "approval-replayed"
    clock.advance(seconds=600)
    assert signer.refusal(large, shown(large, "alice", "bob")) == "approval-expired"


def test_approvals_cannot_widen_what_the_rules_allow(signer: Signer) -> None:
    everyone = ("alice", "bob", "carol")
    assert signer.refusal(pay(2_001), shown(pay(2_001), *everyone)) == "amount"
    stolen = pay(1_500, to=STRANGER)
    assert signer.refusal(stolen, shown(stolen, *everyone)) == "recipient"
    tally = Tally()
    tally.add(signer.ask(pay(900), spent=tally))
    tally.add(signer.ask(pay(900), spent=tally))
    assert signer.refusal(pay(1_500), shown(pay(1_500), *everyone), tally) == "velocity"


def test_whoever_asked_cannot_approve(signer: Signer) -> None:
    large = pay(1_500)
    assert signer.refusal(large, shown(large, "alice", "bob", initiator="alice")) == "initiator"


def test_a_policy_that_was_edited_voids_what_was_approved_before(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "policy.json"
    file.write_text(signed(document()).to_json(), encoding="utf-8")
    source = BundlePolicy(file, ADMINS, state=tmp_path / "state.json", now_ns=clock.now_ns)
    signer = Signer(tmp_path, clock, source)
    large = pay(1_500)
    evidence = shown(large, "alice", "bob")
    beside = tmp_path / "next.json"
    beside.write_text(signed(document(version=8, extra="min_delay: 0s")).to_json(), encoding="utf-8")
    beside.replace(file)
    assert signer.refusal(large, evidence) == "policy-changed"
    signer.ask(large, shown(large, "alice", "bob", by=source.current()))


def test_a_signer_without_memory_signs_nothing_that_needs_it(clock: ManualClock) -> None:
    slow = policy(rules="  - {id: slow, effect: delay, delay: 1h}")
    large = pay(1_500)
    for judge, tx in ((policy(), large), (slow, pay(10))):
        guard = PolicyGuard(judge, now_ns=clock.now_ns)
        with pytest.raises(Refused) as error:
            guard.check_transaction(
                VAULT, tx, network=Network.LIVE, spent=nothing_spent, evidence=shown(tx, "alice", "bob", by=judge)
            )
        assert error.value.rule in ("no-approval", "delay")


def test_a_signer_counts_delays_for_itself(tmp_path: Path, clock: ManualClock) -> None:
    signer = Signer(tmp_path, clock, policy(rules="  - {id: slow, effect: delay, delay: 1h}"))
    tx = pay(10)
    assert signer.refusal(tx, {"announce": True}) == "announced"
    clock.advance(seconds=3599)
    assert signer.refusal(tx) == "delay"
    clock.advance(seconds=1)
    assert signer.refusal(tx, {"announce": True}) == "rested"
    signer.ask(tx)
    signer.ask(pay(10, fee=2 * 10**9))
    # The same payment again is another payment, and another payment was never announced.
    assert signer.refusal(pay(10, nonce=1)) == "delay"
    assert signer.refusal(pay(11, nonce=1)) == "delay"
    clock.advance(seconds=3600)
    signer.ask(pay(10, nonce=1))


def test_an_announcement_is_judged_and_signs_nothing(signer: Signer) -> None:
    assert signer.refusal(pay(10, to=STRANGER), {"announce": True}) == "recipient"
    assert signer.refusal(pay(10), {"announce": True}) == "rested"


def test_facts_come_as_statements_of_services(tmp_path: Path, clock: ManualClock) -> None:
    signer = Signer(tmp_path, clock, policy(rules="  - {id: sanctioned, effect: deny, unless: {aml: clear}}"))
    tx = pay(10)

    def verdict(name: str, key: str = "screening", address: str = PARTNER) -> dict[str, Any]:
        statement = attest(key_of(key), "aml", clock.now_ns() // 10**9, address=address, verdict=name, risk=1)
        return {"attestations": [statement]}

    assert signer.refusal(tx) == "unknown-fact:aml"
    assert signer.refusal(tx, verdict("clear", key="mallory")) == "unknown-fact:aml"
    assert signer.refusal(tx, verdict("clear", address=STRANGER)) == "unknown-fact:aml"
    assert signer.refusal(tx, verdict("block")) == "sanctioned"
    good = verdict("clear")
    signer.ask(tx, good)
    clock.advance(seconds=3601)
    assert signer.refusal(tx, good) == "unknown-fact:aml"


def test_a_person_with_keys_must_have_signed_for_having_asked(tmp_path: Path, clock: ManualClock) -> None:
    judge = policy(rules="  - {id: desk-only, effect: deny, unless: {initiator: {roles: [trader]}}}")
    signer = Signer(tmp_path, clock, judge)
    tx = pay(10)
    assert signer.refusal(tx) == "unknown-fact:initiator"
    signer.ask(tx, shown(tx, by=judge, initiator="erin"))  # a program without keys: its name is a claim
    frank = shown(tx, by=judge, initiator="frank")
    assert signer.refusal(tx, frank) == "unknown-fact:initiator"
    proposal = Proposal(chain_id=ChainId(1), sender=VAULT, to=USDC, value_wei=0, data=tx.data)
    proof = attest(key_of("frank"), "initiator", NOW_S, subject=subject_of(proposal), person="frank")
    signer.ask(tx, {**frank, "attestations": [proof]})
    signer.ask(tx, shown(tx, "alice", by=judge, initiator="frank"))
    assert signer.refusal(tx, shown(tx, by=judge, initiator="bob")) == "unknown-fact:initiator"


@pytest.mark.parametrize(
    "evidence", [{"intent": None}, {"intent": {}}, {"intent": "x", "approvals": 1}, {"approvals": []}]
)
def test_evidence_that_cannot_be_read_helps_nobody(signer: Signer, evidence: Any) -> None:
    assert signer.refusal(pay(1_500), evidence) in ("approval-subject", "no-approval")


def test_messages_documents_and_delegations_are_denied_unless_named(tmp_path: Path, clock: ManualClock) -> None:
    delegation = AuthorizationToSign(chain_id=ChainId(1), delegate=STRANGER, nonce=0)

    def rules(guard: PolicyGuard) -> list[str]:
        found = []
        for check, payload in (
            (guard.check_message, MessageToSign(b"x")),
            (guard.check_typed_data, TypedDataToSign(permit())),
            (guard.check_authorization, delegation),
        ):
            try:
                check(VAULT, payload, network=Network.LIVE, evidence=None)  # type: ignore[operator]
                found.append("")
            except Refused as exc:
                found.append(exc.rule)
        return found

    assert rules(PolicyGuard(policy(), now_ns=clock.now_ns)) == ["kind"] * 3
    named = "  - {id: x, effect: allow, when: {kind: [message, typed-data, authorization-7702]}}"
    assert rules(PolicyGuard(policy(rules=named), now_ns=clock.now_ns)) == [""] * 3
    slow = named + "\n  - {id: slow, effect: delay, delay: 1h}"
    assert rules(PolicyGuard(policy(rules=slow), now_ns=clock.now_ns)) == ["no-approval", "delay", "delay"]


def test_approvals_cover_documents_and_delegations(tmp_path: Path, clock: ManualClock) -> None:
    judge = policy(
        rules="""
  - {id: named, effect: allow, when: {kind: [typed-data, authorization-7702]}}
  - {id: both, effect: require, group: operators, count: 2, when: {kind: [typed-data, authorization-7702]}}
"""
    )
    signer = Signer(tmp_path, clock, judge)
    delegation = AuthorizationToSign(chain_id=ChainId(1), delegate=STRANGER, nonce=3)
    about = Authorization(chain_id=1, delegation=Delegation(account=VAULT, delegate=STRANGER, nonce=3))
    permitted = TypedDataToSign(permit())

    def refusal(check: Any, payload: Any, evidence: Any) -> str:
        with pytest.raises(Refused) as error:
            check(VAULT, payload, network=Network.LIVE, evidence=evidence)
        return error.value.rule

    for number, (check, payload, subject) in enumerate(
        (
            (signer.guard.check_typed_data, permitted, TypedDocument.of(VAULT, permitted.document)),
            (signer.guard.check_authorization, delegation, about),
        )
    ):
        good = shown(subject, "alice", "bob", by=judge, intent_id=f"d-{number}")
        assert refusal(check, payload, None) == "no-approval"
        assert refusal(check, payload, shown(subject, "alice", by=judge)) == "approvals-missing"
        assert refusal(check, payload, shown(pay(1), "alice", "bob", by=judge)) == "approval-subject"
        check(VAULT, payload, network=Network.LIVE, evidence=good)  # type: ignore[operator]
    other = TypedDataToSign(permit(value=8))
    assert refusal(signer.guard.check_typed_data, other, good) == "approval-subject"


async def test_a_transaction_is_judged_together_with_the_delegations_it_carries(
    tmp_path: Path, clock: ManualClock
) -> None:
    judge = policy(
        rules=f"""
  - {{id: batch, effect: allow, when: {{kind: authorization-7702, contract: "{STRANGER}"}}}}
  - {{id: both, effect: require, group: operators, count: 2, when: {{kind: authorization-7702}}}}
"""
    )
    signer = Signer(tmp_path, clock, judge)

    async def carrying(delegate: Address) -> TransactionToSign:
        authorization = AuthorizationToSign(chain_id=ChainId(1), delegate=delegate, nonce=0)
        signed_by_owner = await KeySigner(b"\x11" * 32).sign_authorization(authorization, network=Network.LIVE)
        return replace(pay(10), type=4, authorizations=(signed_by_owner,))

    tx = await carrying(STRANGER)
    assert signer.refusal(tx) == "no-approval"
    assert signer.refusal(tx, shown(pay(10), "alice", "bob", by=judge)) == "approval-subject"
    assert signer.ask(tx, shown(tx, "alice", "bob", by=judge)) == {USDC_ID: 10 * 10**6}
    assert signer.refusal(await carrying(PARTNER)) == "contract"
    assert signer.refusal(replace(tx, data=transfer_data(STRANGER, 5))) == "recipient"
