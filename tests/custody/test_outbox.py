"""The outbox and the ledger under any order of steps: nonces without gaps, limits kept, nothing settled twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlmodel import Session, select

from custody import AssetLimits, Entry, Ledger, Posting, State, Step
from custody.policy import Decision
from custody.transactions.lifecycle import FINAL, FINALITY, TRANSITIONS, UNSIGNED, after
from custody.transactions.outbox import GAP, Outbox
from custody.transactions.plans import decode_plan, encode_plan
from custody.transactions.records import Intent, Kind
from custody.transactions.tables import FreeNonceRow, TransactionRow
from domain import Address, Amount, ChainId, InvariantError, Refused, native_asset
from domain.events import SwapSettled
from domain.ids import IntentId, StrategyId
from domain.plans import TransactionPlan
from tests.databases import books_at
from wallets import SignedTransaction, TransactionToSign

T = TypeVar("T")
SENDER = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
CHAIN = ChainId(1337)
COIN = native_asset(CHAIN)
LIMITS = AssetLimits(per_day_raw=100)


def plan(number: int, amount: int) -> TransactionPlan:
    return TransactionPlan(
        intent_id=IntentId(f"i{number}"),
        strategy=StrategyId("s"),
        purpose="transfer",
        chain_id=CHAIN,
        sender=SENDER,
        to=SENDER,
        value_wei=amount,
        data=b"\x01",
        gas_limit=21_000,
        deadline_s=0,
        spends=(Amount(COIN, amount),),
    )


def decision(spends: dict[str, int]) -> Decision:
    return Decision(
        rules=("test",),
        requirements=(),
        delay_s=0,
        policy_version=1,
        policy_digest="00",
        spends=spends,
        counts=spends,
        call=None,
        addresses=frozenset(),
    )


class Machine(RuleBasedStateMachine):
    """Drives an outbox as a desk would, in any order, beside a model of what was signed and settled."""

    intents = Bundle("intents")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 10**18
        self.first_nonce = 7
        self.signed: dict[int, str] = {}
        self.settled: dict[str, int] = {}
        self.count = 0
        self.count_gaps = 0
        self.gaps: set[int] = set()
        self.undone: set[str] = set()
        self.booked: dict[str, int] = {}
        self.open()

    def open(self) -> None:
        self.database = books_at(Path(self.folder.name) / "books.db")
        self.ledger = Ledger(self.database, lambda: self.now)
        self.outbox = Outbox(
            self.database,
            self.ledger,
            chain_id=CHAIN,
            sender=SENDER,
            now_ns=lambda: self.now,
            fence=lambda _session: None,
        )

    def teardown(self) -> None:
        self.database.dispose()
        self.folder.cleanup()

    @rule(target=intents, amount=st.integers(1, 60))
    def record(self, amount: int) -> str:
        self.count += 1
        new = plan(self.count, amount)
        assert self.outbox.record(new)
        assert not self.outbox.record(new)
        return str(new.intent_id)

    @rule(intent_id=intents)
    def forward(self, intent_id: str) -> None:
        """The next step of an intent, whatever it is."""
        intent = self.outbox.find(intent_id)
        assert intent is not None
        match intent.state:
            case State.CREATED:
                self.do(lambda s: self.outbox.step(s, intent, Step.SCREENED))
            case State.SCREENED:
                self.approve(intent)
            case State.HELD:
                self.do(lambda s: self.outbox.release(s, intent))
            case State.APPROVED:
                self.do(lambda s: self.outbox.reserve(s, intent, self.first_nonce, lambda n: self.unsigned(intent, n)))
            case State.NONCE_RESERVED:
                self.sign(intent)
            case State.SIGNED:
                self.do(lambda s: self.outbox.step(s, intent, Step.SENT))
            case State.BROADCAST:
                newest = intent.signed[0].tx_hash or ""
                self.do(lambda s: self.outbox.mined(s, intent, tx_hash=newest, block_number=1, block_hash="0x1"))
            case State.MINED:
                self.settle(intent)

    @rule(intent_id=intents)
    def decline(self, intent_id: str) -> None:
        intent = self.outbox.find(intent_id)
        assert intent is not None
        before_signing = UNSIGNED - {State.HELD} | {State.NONCE_RESERVED}
        if intent.state in before_signing and len(intent.attempts) < 2:
            self.do(lambda s: self.outbox.end(s, intent, Step.DECLINED, "test", "because"))
            self.settled[intent_id] = self.settled.get(intent_id, 0) + 1

    @rule(intent_id=intents)
    def hold_or_cancel(self, intent_id: str) -> None:
        intent = self.outbox.find(intent_id)
        assert intent is not None
        if intent.state is State.HELD:
            self.do(lambda s: self.outbox.end(s, intent, Step.CANCELLED, "cancelled", "by hand"))
            self.settled[intent_id] = self.settled.get(intent_id, 0) + 1
        elif intent.state in UNSIGNED:
            self.do(lambda s: self.outbox.hold(s, intent))

    @rule(intent_id=intents)
    def shake(self, intent_id: str) -> None:
        """A reorganisation, or a fee bump."""
        intent = self.outbox.find(intent_id)
        assert intent is not None
        if intent.state is State.MINED:
            self.do(lambda s: self.outbox.step(s, intent, Step.REORGED))
        elif intent.state in (State.BROADCAST, State.SIGNED):
            last = intent.attempts[-1].unsigned
            higher = TransactionToSign(**fields(last) | {"max_fee_per_gas_wei": last.max_fee_per_gas_wei * 2})
            self.do(lambda s: self.outbox.replace(s, intent, Kind.FASTER, higher))

    @rule()
    def deep_reorganisation(self) -> None:
        """Everything settled and not final comes back, with contra entries."""
        gone = self.outbox.settled()
        for settled in gone:
            self.do(lambda s, settled=settled: self.outbox.undo(s, settled, "reorganised"))
            self.undone.add(settled.intent_id)

    @rule()
    def finality(self) -> None:
        for settled in self.outbox.settled():
            assert self.do(lambda s, settled=settled: self.outbox.finalize(s, settled)) is State.FINAL

    @rule()
    def close_gaps(self) -> None:
        """The desk uses up free nonces that nobody wants."""
        with self.database.snapshot() as session:
            free = list(session.exec(select(FreeNonceRow.nonce)))
        for nonce in free:
            self.count_gaps += 1
            mine = replace(plan(0, 0), intent_id=IntentId(f"gap{self.count_gaps}"), purpose=GAP)
            tx = TransactionToSign(chain_id=CHAIN, nonce=nonce, to=SENDER, gas_limit=21_000, max_fee_per_gas_wei=1)
            assert self.do(lambda s, mine=mine, nonce=nonce, tx=tx: self.outbox.close_gap(s, mine, nonce, tx))
            self.gaps.add(nonce)

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.now += hours * 3600 * 10**9

    @rule()
    def restart(self) -> None:
        self.database.dispose()
        self.open()

    @invariant()
    def nonces_have_no_gap_and_one_owner(self) -> None:
        with self.database.snapshot() as session:
            free = list(session.exec(select(FreeNonceRow.nonce)))
            bound = list(session.exec(select(TransactionRow.nonce).where(TransactionRow.nonce != None)))  # noqa: E711
        nonces = sorted([*free, *bound])
        assert nonces == list(range(self.first_nonce, self.first_nonce + len(nonces)))
        assert not self.gaps & set(free)

    @invariant()
    def what_was_signed_keeps_its_nonce(self) -> None:
        nonces = self.nonces()
        assert all(nonces.get(nonce) == intent_id for nonce, intent_id in self.signed.items())

    @invariant()
    def everything_is_settled_once_and_booked_once(self) -> None:
        assert all(times == 1 for times in self.settled.values())
        assert sorted(s.intent_id for s in self.outbox.settlements()) == sorted(set(self.settled) - self.undone)
        assert self.ledger.verify().is_sound
        live = sum(raw for name, raw in self.booked.items() if name not in self.undone)
        assert self.ledger.balance("venue/v", COIN.id) == live
        assert set(self.ledger.trial_balance().values()) <= {0}

    def approve(self, intent: Intent) -> None:
        amount = intent.plan.spends[0].raw

        def judge(spent: Any) -> Decision:
            if spent(COIN.id, 24 * 3600) + amount > LIMITS.per_day_raw:
                raise Refused("too much", rule="velocity")
            return decision({COIN.id: amount})

        try:
            self.do(lambda s: self.outbox.approve(s, intent, self.outbox.judge(s, judge)))
        except Refused:
            found = self.outbox.find(str(intent.plan.intent_id))
            assert found is not None
            assert found.state is State.SCREENED

    def sign(self, intent: Intent) -> None:
        assert intent.nonce is not None
        owner = self.signed.setdefault(intent.nonce, str(intent.plan.intent_id))
        assert owner == intent.plan.intent_id, "a nonce was signed for two intents"
        number = len(intent.attempts)
        signed = SignedTransaction(bytes([number]), f"0x{intent.nonce}/{number}", SENDER)
        self.do(lambda s: self.outbox.signed(s, intent, signed))

    def settle(self, intent: Intent) -> None:
        name = str(intent.plan.intent_id)
        raw = intent.plan.spends[0].raw
        entry = Entry(f"swap/{name}", "swap", (Posting("venue/v", COIN.id, -raw), Posting("trading/s", COIN.id, raw)))
        outcome = SwapSettled(time_ns=self.now, intent_id=name, status="mined")
        before = self.do(lambda s: self.outbox.settle(s, intent, Step.CONFIRMED, outcome, [entry]))
        assert (before is not None) == (name in self.undone)
        self.undone.discard(name)
        self.settled[name] = 1
        self.booked[name] = -raw
        with pytest.raises(InvariantError):  # a second desk that has not noticed
            self.do(lambda s: self.outbox.settle(s, intent, Step.CONFIRMED, outcome, [entry]))

    def unsigned(self, intent: Intent, nonce: int) -> TransactionToSign:
        return TransactionToSign(
            chain_id=CHAIN, nonce=nonce, to=SENDER, gas_limit=21_000, max_fee_per_gas_wei=10, data=intent.plan.data
        )

    def nonces(self) -> dict[int, str]:
        found = (self.outbox.find(f"i{number}") for number in range(1, self.count + 1))
        return {i.nonce: str(i.plan.intent_id) for i in found if i is not None and i.nonce is not None}

    def do(self, work: Callable[[Session], T]) -> T:
        with self.outbox.transaction() as session:
            return work(session)


def fields(tx: TransactionToSign) -> dict[str, Any]:
    return {name: getattr(tx, name) for name in TransactionToSign.__slots__}


TestOutbox = Machine.TestCase
TestOutbox.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_what_is_not_in_the_table_is_an_error_and_nothing_follows_the_end() -> None:
    for state in State:
        for step in Step:
            if (state, step) not in TRANSITIONS:
                with pytest.raises(InvariantError):
                    after(state, step, what="x")
    assert not [state for state, _ in TRANSITIONS if state in FINAL]
    assert {state for state, _ in TRANSITIONS} | FINAL == set(State)
    assert set(TRANSITIONS.values()) | set(FINALITY.values()) == set(State)


def test_a_plan_is_recorded_and_read_back_as_it_was() -> None:
    written = plan(1, 2**255)
    assert decode_plan(encode_plan(written)) == written
