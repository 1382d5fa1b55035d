"""People, time, holds and freezes before anything is signed; what was approved is judged again when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from chain import ChainClient
from chain.devnet import Devnet
from custody import Decision, DeskOptions, Policy, Requirement, State, Step, freeze
from custody.approvals import DatabaseApprovals, Verdict, approve
from custody.audit import AuditLog
from custody.clear_signing import ChainName, Names, TokenName
from domain import ChainId
from domain.plans import TransactionPlan
from runtime import ManualClock
from tests.custody.desk import VAULT, TestDesk, build_desk, policy_settings, swap
from tests.custody.test_desk import running_desk
from tests.custody.test_faults import until
from tests.databases import books_at
from tests.support.approvers import groups_of, key_of

pytestmark = pytest.mark.anvil


class Demanding(Policy):
    """The tests' policy, with conditions on top."""

    requirements: tuple[Requirement, ...] = ()
    delay_s = 0

    def evaluate(self, *arguments: Any, **options: Any) -> Decision:
        decision = super().evaluate(*arguments, **options)
        return replace(decision, requirements=self.requirements, delay_s=self.delay_s, policy_version=7)


@dataclass
class Bundle:
    """What approvals see of the policy."""

    policy: Policy
    names: Names
    version: int = 7
    groups: Mapping[str, Any] = field(default_factory=lambda: groups_of(operators=("alice", "bob", "carol")))

    @property
    def digest(self) -> str:
        return self.policy.digest


class Town:
    """A desk whose policy wants people or time, the people, and a clock."""

    def __init__(self, devnet: Devnet, client: ChainClient, folder: Path) -> None:
        self.devnet, self.client, self.folder = devnet, client, folder
        self.clock = ManualClock(1_900_000_000 * 10**9)
        self.policy = Demanding(policy_settings(devnet.world))
        world, chain = devnet.world, devnet.world.chain_id
        names = Names(
            chains={chain: ChainName("Devnet", "ETH")},
            tokens={(chain, t.address): TokenName(symbol, t.decimals) for symbol, t in world.tokens.items()},
            addresses={(0, VAULT): "Vault"} | {(0, address): name for name, address in world.contracts.items()},
        )
        self.bundle = Bundle(self.policy, names)
        self.database = books_at(folder / "books.db")
        self.people = DatabaseApprovals(self.database, rules=lambda: self.bundle, now_ns=self.clock.now_ns)
        self.evidence: list[Any] = []
        self.desk = self.build()

    def build(self, checkpoint: Callable[[str], None] = lambda _edge: None) -> TestDesk:
        desk = build_desk(
            self.devnet.world,
            self.client,
            self.folder,
            options=DeskOptions(poll_s=0.005),
            now_ns=self.clock.now_ns,
            approvals=self.people,
            policy=self.policy,
            checkpoint=checkpoint,
        )
        inner = desk.signer.sign_transaction

        async def watch(tx: Any, *, network: Any, evidence: Any = None) -> Any:
            self.evidence.append(evidence)
            return await inner(tx, network=network, evidence=evidence)

        desk.signer.sign_transaction = watch  # type: ignore[method-assign]
        return desk

    async def submit(self, name: str, **changes: Any) -> TransactionPlan:
        plan = swap(self.devnet.world, name, **{"deadline_s": 1_902_592_000} | changes)
        await self.desk.custody.submit(plan, initiator="erin", vault="hot")
        return plan

    async def until(self, name: str, *states: State) -> None:
        await until(lambda: self.desk.custody.state(name) in states)

    def say(self, who: str, name: str, verdict: Verdict = Verdict.APPROVE) -> None:
        request = self.people.find(name)
        self.people.add(name, approve(key_of(who), request.intent, request.text, verdict))
        self.desk.custody.wake()

    def steps(self, name: str) -> list[Step]:
        return [step for step, _ in self.desk.custody.history(name)]


@pytest.fixture
async def town(devnet: Devnet, chain_client: ChainClient, tmp_path: Path) -> Any:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    first = await running_desk(devnet, chain_client, tmp_path)
    await first.custody.stop()
    town = Town(devnet, chain_client, tmp_path)
    await town.desk.start()
    yield town
    await town.desk.custody.stop()
    town.database.dispose()


OPERATORS = (Requirement(group="operators", count=2, rule="large"),)


async def test_two_people_approve_and_the_signer_is_shown_their_approvals(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("wanted")
    await town.until("wanted", State.AWAITING_APPROVAL)
    town.say("alice", "wanted")
    assert not await town.desk.custody.drain(0.1)
    assert not town.evidence
    town.say("bob", "wanted")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("wanted").status == "mined"
    assert town.steps("wanted")[:4] == [Step.CREATED, Step.SCREENED, Step.APPROVAL_ASKED, Step.APPROVED]
    (shown,) = town.evidence
    assert shown["intent"]["intent_id"] == "wanted"
    assert shown["intent"]["initiator"] == "erin"
    assert len(shown["approvals"]) == 2


async def test_an_approval_survives_a_restart_between_asking_and_answering(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("patient")
    await town.until("patient", State.AWAITING_APPROVAL)
    await town.desk.custody.stop()
    town.say("alice", "patient")
    town.say("bob", "patient")
    town.desk = town.build()
    await town.desk.start()
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("patient").status == "mined"


async def test_a_rejection_refuses(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("unwanted")
    await town.until("unwanted", State.AWAITING_APPROVAL)
    town.say("carol", "unwanted", Verdict.REJECT)
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("unwanted").reason.startswith("approval-rejected: ")
    assert not town.evidence


async def test_approvals_that_come_too_late_refuse(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("slow")
    await town.until("slow", State.AWAITING_APPROVAL)
    town.say("alice", "slow")
    town.clock.advance(seconds=24 * 3600 + 1)
    town.desk.custody.wake()
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("slow").reason.startswith("approval-expired: ")


async def test_a_policy_that_was_changed_meanwhile_voids_what_was_approved(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("old-rules")
    await town.until("old-rules", State.AWAITING_APPROVAL)
    await town.desk.custody.stop()
    town.say("alice", "old-rules")
    town.say("bob", "old-rules")
    assert str(town.people.state("old-rules", town.clock.now_ns())) == "met"
    # The desk comes back with other rules, whose approvals these are not.
    town.policy = Demanding(policy_settings(town.devnet.world, gas_limit_max=999_999))
    town.policy.requirements = OPERATORS
    town.desk = town.build()
    await town.desk.start()
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("old-rules").reason.startswith("policy-changed: ")
    assert not town.evidence


async def test_a_decision_that_needs_more_people_by_now_refuses(town: Town) -> None:
    town.policy.requirements = (Requirement(group="operators", count=1, rule="small"),)
    await town.submit("grown")
    await town.until("grown", State.AWAITING_APPROVAL)
    town.policy.requirements = OPERATORS
    town.say("alice", "grown")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("grown").reason.startswith("requirements-changed: ")


async def test_limits_count_when_it_is_approved_and_not_while_people_think(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("thinking")
    await town.until("thinking", State.AWAITING_APPROVAL)
    assert spends_of(town, "thinking") == 0
    town.say("alice", "thinking")
    town.say("bob", "thinking")
    assert await town.desk.custody.drain(60)
    assert spends_of(town, "thinking") == 1


async def test_a_delay_is_waited_for_and_policy_asked_again_after_it(town: Town) -> None:
    town.policy.delay_s = 3600
    await town.submit("later")
    await town.until("later", State.DELAYED)
    town.clock.advance(seconds=3599)
    town.desk.custody.wake()
    assert not await town.desk.custody.drain(0.1)
    town.clock.advance(seconds=2)
    town.desk.custody.wake()
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("later").status == "mined"
    assert Step.DELAYED in town.steps("later")


async def test_people_and_a_delay_are_both_waited_for(town: Town) -> None:
    town.policy.requirements, town.policy.delay_s = OPERATORS, 600
    await town.submit("both")
    await town.until("both", State.AWAITING_APPROVAL)
    town.say("alice", "both")
    town.say("bob", "both")
    await town.until("both", State.DELAYED)
    town.say("carol", "both", Verdict.REJECT)  # thought better of it
    town.clock.advance(seconds=601)
    town.desk.custody.wake()
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("both").reason.startswith("approval-rejected: ")


async def test_a_held_intent_waits_for_its_release_and_keeps_its_approvals(town: Town) -> None:
    town.policy.requirements = OPERATORS
    await town.submit("held")
    await town.until("held", State.AWAITING_APPROVAL)
    town.say("alice", "held")
    await town.desk.custody.hold("held")
    await town.until("held", State.HELD)
    town.say("bob", "held")
    assert not await town.desk.custody.drain(0.1)
    assert town.desk.custody.state("held") is State.HELD
    await town.desk.custody.release("held")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("held").status == "mined"


async def test_a_held_intent_can_be_cancelled(town: Town) -> None:
    town.policy.delay_s = 3600
    await town.submit("dropped")
    await town.until("dropped", State.DELAYED)
    await town.desk.custody.hold("dropped")
    await town.until("dropped", State.HELD)
    await town.desk.custody.cancel("dropped")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("dropped").reason.startswith("cancelled: ")


async def test_a_frozen_chain_or_vault_lets_nothing_be_approved(town: Town) -> None:
    freezes = freeze.Freezes(town.database, AuditLog(town.database, town.clock.now_ns), town.clock.now_ns)
    for number, scope in enumerate((freeze.chain_scope(ChainId(1337)), freeze.vault_scope("hot"), freeze.ALL)):
        stands = freezes.impose(scope, source="operator:test", reason="because")
        await town.submit(f"cold-{number}")
        assert await town.desk.custody.drain(60)
        assert town.desk.outcome(f"cold-{number}").reason.startswith("frozen: ")
        for who in ("ann", "ben"):
            freezes.lift(stands.id, operator=who, reason="over")
    await town.submit("thawed")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("thawed").status == "mined"


async def test_what_is_frozen_between_numbering_and_signing_waits_and_is_not_signed(town: Town) -> None:
    freezes = freeze.Freezes(town.database, AuditLog(town.database, town.clock.now_ns), town.clock.now_ns)
    await town.desk.custody.stop()
    stands: list[freeze.Freeze] = []

    def strike(edge: str) -> None:
        if edge == "reserve.after" and not stands:
            stands.append(freezes.impose(freeze.ALL, source="operator:test", reason="because"))

    town.desk = town.build(strike)
    await town.desk.start()
    await town.submit("caught")
    await until(lambda: bool(stands))
    assert not await town.desk.custody.drain(0.2)
    assert town.desk.custody.state("caught") is State.NONCE_RESERVED
    assert not town.evidence, "the signer was not asked"
    for who in ("ann", "ben"):
        freezes.lift(stands[0].id, operator=who, reason="over")
    assert await town.desk.custody.drain(60)
    assert town.desk.outcome("caught").status == "mined"


async def test_every_step_is_in_the_audit_log(town: Town) -> None:
    await town.submit("seen")
    assert await town.desk.custody.drain(60)
    with town.database.snapshot() as session:
        query = text("SELECT kind FROM audit_log WHERE subject = 'transaction/seen' ORDER BY sequence")
        kinds = list(session.execute(query).scalars())
    assert kinds == [f"transaction.{step}" for step in town.steps("seen")]


def spends_of(town: Town, name: str) -> int:
    with town.database.snapshot() as session:
        query = text(
            "SELECT COUNT(*) FROM transaction_spends s JOIN transactions t ON t.id = s.transaction_id"
            " WHERE t.intent_id = :name"
        )
        return int(session.execute(query, {"name": name}).scalar_one())
