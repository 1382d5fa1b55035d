"""The outbox: every intent with its state, in the database. A step and its event row are one database transaction.

Whoever changes an intent does it in `Outbox.transaction`, which holds the account's lease; the methods that take a
session belong in there. What is asked for from outside (`record`, `wish`) needs no lease: the holder will find it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import delete
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from custody.ledger import Entry, Ledger
from custody.policy import Decision, Spent
from custody.transactions import bookings
from custody.transactions.lifecycle import SETTLED, UNSIGNED, WORKED_ON, State, Step, after, finality
from custody.transactions.nonces import Nonces
from custody.transactions.plans import encode_plan
from custody.transactions.records import (
    IN_CLAUSE_MAX,
    Intent,
    Kind,
    Settled,
    Wish,
    encode_detail,
    encode_unsigned,
    intents_of,
    value_of,
)
from custody.transactions.tables import AttemptRow, SpendRow, TransactionEventRow, TransactionRow
from domain import Address, ChainId, InputError, InvariantError
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime.database import Database, raw_sum
from wallets import SignedTransaction, TransactionToSign

Ending = tuple[Intent, Step, SwapSettled, Sequence[Entry]]
"""An intent, the step that settles it, its outcome and what is booked."""

_LOCKED = "capstan_locked_transactions"
_COUNTED = frozenset(State) - UNSIGNED - {State.REFUSED} | {State.APPROVED}
GAP = "gap"
"""The purpose of custody's own transactions that close a gap in the nonces; nobody is told of them."""


class Outbox:
    """The intents of one account on one chain. Synchronous; custody calls it on threads.

    Args:
        database: Where they are.
        ledger: Books in the same database.
        chain_id: With `sender`: the account.
        sender: See there.
        now_ns: UTC nanoseconds.
        fence: Called in every transaction that changes an intent; raises when the lease is lost.
        observe: Called in the database transaction of every step, with the intent's id, the step, the state it led to
            and the event's detail: the audit log.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        *,
        chain_id: ChainId,
        sender: Address,
        now_ns: Callable[[], int],
        fence: Callable[[Session], None],
        observe: Callable[[Session, str, Step, State, Mapping[str, Any]], None] = lambda *_: None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._chain_id = chain_id
        self._sender = sender
        self._now_ns = now_ns
        self._fence = fence
        self._observe = observe
        self._nonces = Nonces(chain_id, sender)
        self._account = f"{chain_id}/{sender}"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Change intents, all or nothing, while the lease on the account is ours.

        Raises:
            LeaseLost: It is not; nothing was changed.
        """
        with self._database.transaction() as session:
            self._fence(session)
            yield session

    # --- asked for from outside

    def record(self, plan: TransactionPlan, *, initiator: str = "engine", vault: str = "default") -> bool:
        """Record an intent durably; return False when it was recorded before.

        Raises:
            InputError: Another plan was recorded under its intent id, or for somebody else.
        """
        with self._database.transaction() as session:
            return self.record_in(session, plan, initiator=initiator, vault=vault)

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record an intent in a transaction of the caller's; see `record`."""
        text = encode_plan(plan)
        self._database.serialize(session, f"intents/{self._account}")
        known = session.exec(
            select(TransactionRow.plan, TransactionRow.initiator, TransactionRow.vault).where(
                col(TransactionRow.intent_id) == plan.intent_id
            )
        ).first()
        if known is not None:
            if tuple(known) != (text, initiator, vault):
                raise InputError(f"intent {plan.intent_id} was recorded before with another plan")
            return False
        self._insert(session, plan, text, initiator, vault)
        return True

    def wish(self, intent_id: str, wish: Wish) -> None:
        """Ask for something to be done with an intent; the desk does it when it next looks.

        Raises:
            InputError: There is no such intent, or it is too late.
        """
        with self._database.transaction() as session:
            self.wish_in(session, intent_id, wish)

    def wish_in(self, session: Session, intent_id: str, wish: Wish) -> None:
        """Ask for something in a transaction of the caller's; see `wish`."""
        query = self._mine().where(col(TransactionRow.intent_id) == intent_id).with_for_update()
        row = session.exec(query).first()
        if row is None:
            raise InputError(f"no intent {intent_id} of {self._account}")
        state = State(row.state)
        if state.is_settled or (state not in UNSIGNED and wish in (Wish.HOLD, Wish.RELEASE)):
            raise InputError(f"{intent_id} is {state}: too late to {wish} it")
        row.wish = wish
        session.add(row)

    # --- reading

    def working(self, states: Collection[State] = WORKED_ON) -> list[Intent]:
        """Every intent without an outcome (or in these states), in the order they were recorded."""
        with self._database.snapshot() as session:
            query = self._mine().where(col(TransactionRow.state).in_(states)).order_by(col(TransactionRow.id))
            return intents_of(session, session.exec(query).all())

    def settled(self) -> list[Settled]:
        """Every transaction with an outcome that the chain could still take back."""
        columns = (
            TransactionRow.id,
            TransactionRow.intent_id,
            TransactionRow.outcome,
            TransactionRow.nonce,
            TransactionRow.block_number,
            TransactionRow.block_hash,
        )
        with self._database.snapshot() as session:
            query = (
                select(*columns)  # type: ignore[call-overload]
                .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
                .where(col(TransactionRow.state) == State.SAFE)
                .order_by(col(TransactionRow.nonce))
            )
            return [Settled(*row) for row in session.exec(query)]

    def under(self, nonces: Sequence[int]) -> list[Intent]:
        """The intents that these nonces are bound to, by nonce."""
        with self._database.snapshot() as session:
            query = self._mine().where(col(TransactionRow.nonce).in_(nonces)).order_by(col(TransactionRow.nonce))
            return intents_of(session, session.exec(query).all())

    def find(self, intent_id: str) -> Intent | None:
        """Look an intent up."""
        with self._database.snapshot() as session:
            row = session.exec(self._mine().where(col(TransactionRow.intent_id) == intent_id)).first()
            return None if row is None else intents_of(session, [row])[0]

    def find_in(self, session: Session, intent_id: str) -> Intent:
        """Look an intent up in a transaction of the caller's.

        Raises:
            InputError: There is none.
        """
        row = session.exec(self._mine().where(col(TransactionRow.intent_id) == intent_id)).first()
        if row is None:
            raise InputError(f"no intent {intent_id} of {self._account}")
        return intents_of(session, [row])[0]

    def settlements(self, since_ns: int = 0) -> list[SwapSettled]:
        """What became of every intent settled at or after an instant, oldest first."""
        with self._database.snapshot() as session:
            query = (
                select(TransactionRow.settlement)
                .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
                .where(col(TransactionRow.settled_ns) >= since_ns, col(TransactionRow.state).in_(SETTLED))
                .where(col(TransactionRow.purpose) != GAP)
                .order_by(col(TransactionRow.settled_ns), col(TransactionRow.id))
            )
            return [msgspec.json.decode(text, type=SwapSettled) for text in session.exec(query) if text]

    def history(self, intent_id: str) -> list[tuple[Step, State]]:
        """The steps an intent took."""
        with self._database.snapshot() as session:
            query = (
                select(TransactionEventRow.event, TransactionEventRow.state)
                .join(TransactionRow, col(TransactionRow.id) == col(TransactionEventRow.transaction_id))
                .where(col(TransactionRow.intent_id) == intent_id)
                .order_by(col(TransactionEventRow.id))
            )
            return [(Step(step), State(state)) for step, state in session.exec(query)]

    def states(self) -> list[tuple[int, State]]:
        """Every intent without an outcome by number, with its state."""
        with self._database.snapshot() as session:
            query = (
                select(TransactionRow.id, TransactionRow.state)
                .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
                .where(col(TransactionRow.state).not_in(SETTLED))
            )
            return [(number or 0, State(state)) for number, state in session.exec(query)]

    def committed_wei(self) -> int:
        """The most that everything with a nonce and no block yet may take from the account: coins sent, and gas."""
        states = (State.NONCE_RESERVED, State.SIGNED, State.BROADCAST)
        query = (
            select(AttemptRow.transaction_id, AttemptRow.unsigned, AttemptRow.ceiling_wei)
            .join(TransactionRow, col(TransactionRow.id) == col(AttemptRow.transaction_id))
            .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
            .where(col(TransactionRow.state).in_(states))
        )
        dearest: dict[int, int] = {}
        with self._database.snapshot() as session:
            for number, unsigned, ceiling_wei in session.exec(query):
                dearest[number] = max(value_of(unsigned) + ceiling_wei, dearest.get(number, 0))
        return sum(dearest.values())

    def next_nonce(self) -> int | None:
        """The next nonce to be given out; None before the first."""
        with self._database.snapshot() as session:
            return self.next_nonce_in(session)

    def next_nonce_in(self, session: Session) -> int | None:
        """See `next_nonce`."""
        return self._nonces.next_nonce(session)

    def ceilings_since(self, session: Session, since_ns: int) -> int:
        """The most that all transactions with a version since an instant may cost; of several versions one is mined."""
        query = (
            select(AttemptRow.transaction_id, AttemptRow.ceiling_wei)
            .join(TransactionRow, col(TransactionRow.id) == col(AttemptRow.transaction_id))
            .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
            .where(col(AttemptRow.created_ns) > since_ns)
        )
        dearest: dict[int, int] = {}
        for number, ceiling_wei in session.exec(query):
            dearest[number] = max(ceiling_wei, dearest.get(number, 0))
        return sum(dearest.values())

    # --- many at once

    def lock(self, session: Session, ids: Sequence[int]) -> None:
        """Read and lock the rows of intents that are about to be changed, in one question instead of one each."""
        for start in range(0, len(ids), IN_CLAUSE_MAX):
            part = ids[start : start + IN_CLAUSE_MAX]
            query = select(TransactionRow).where(col(TransactionRow.id).in_(part)).order_by(col(TransactionRow.id))
            rows = session.exec(query.with_for_update()).all()
            session.info.setdefault(_LOCKED, {}).update({row.id: row for row in rows})

    # --- before signing

    def step(self, session: Session, intent: Intent, step: Step, **detail: Any) -> TransactionRow:
        """Take a step that changes the state and nothing else."""
        return self._take(session, intent, step, detail)

    def judge(self, session: Session, evaluate: Callable[[Spent], Decision]) -> Decision:
        """Let policy judge with the windows as they are; what is approved in this transaction is in the next ones.

        Raises:
            Refused: From the policy.
        """
        self._database.serialize(session, f"velocity/{self._account}")
        now = self._now_ns()
        return evaluate(lambda counter, window_s: self._spent(session, counter, now - window_s * 10**9))

    def approve(self, session: Session, intent: Intent, decision: Decision) -> None:
        """Approve what was judged in this transaction, and count it in the windows."""
        row = self._take(session, intent, Step.APPROVED, {"policy": decision.policy_version})
        row.approved_ns = self._now_ns()
        session.add_all(
            SpendRow(transaction_id=intent.id, asset=counter, raw=raw)
            for counter, raw in decision.counts.items()
            if raw
        )

    def require(self, session: Session, intent: Intent, decision: str, delayed_until_ns: int) -> None:
        """Record what policy requires before it can be approved."""
        row = self._row(session, intent.id)
        row.decision, row.delayed_until_ns = decision, delayed_until_ns
        session.add(row)

    def hold(self, session: Session, intent: Intent) -> None:
        """Stop an intent until it is released; what it reserved of the limits is free meanwhile."""
        self._take(session, intent, Step.HELD, {}).wish = Wish.NONE
        session.execute(delete(SpendRow).where(col(SpendRow.transaction_id) == intent.id))

    def release(self, session: Session, intent: Intent) -> None:
        """Let a held intent begin again."""
        self._take(session, intent, Step.RELEASED, {}).wish = Wish.NONE

    def forget_wish(self, session: Session, intent: Intent) -> None:
        """Drop a wish that cannot be fulfilled, or is."""
        row = self._row(session, intent.id)
        row.wish = Wish.NONE
        session.add(row)

    # --- signing

    def reserve(self, session: Session, intent: Intent, floor: int, build: Callable[[int], TransactionToSign]) -> int:
        """Bind a nonce to an approved intent and record the unsigned transaction under it.

        Args:
            session: Of `transaction`.
            intent: An approved one.
            floor: The chain's own count for the account, with what waits in its pools.
            build: Makes the transaction for a nonce.
        """
        self._database.serialize(session, f"nonce/{self._account}")
        nonce = self._nonces.take(session, floor)
        row = self._take(session, intent, Step.RESERVED, {"nonce": nonce})
        row.nonce = nonce
        self._add_attempt(session, intent.id, 0, Kind.ORIGINAL, build(nonce))
        return nonce

    def skip_to(self, session: Session, nonce: int) -> None:
        """Give out no nonce below this one; see `Nonces.skip_to`. What is left between is closed like any gap."""
        self._database.serialize(session, f"nonce/{self._account}")
        self._nonces.skip_to(session, nonce)

    def close_gap(self, session: Session, plan: TransactionPlan, nonce: int, unsigned: TransactionToSign) -> bool:
        """Record a transaction of our own under a nonce that is bound to nothing; False when it is bound by now."""
        self._database.serialize(session, f"nonce/{self._account}")
        bound = session.exec(self._mine().where(col(TransactionRow.nonce) == nonce)).first()
        if bound is not None:
            return False
        self._nonces.claim(session, nonce)
        row = self._insert(session, plan, encode_plan(plan), "custody", "default")
        row.state, row.nonce = State.NONCE_RESERVED, nonce
        self._note(session, row, Step.RESERVED, {"nonce": nonce})
        self._add_attempt(session, row.id or 0, 0, Kind.CANCEL, unsigned)
        return True

    def replace(self, session: Session, intent: Intent, kind: Kind, unsigned: TransactionToSign) -> None:
        """Record another version under the same nonce, to be signed next."""
        number = len(intent.attempts)
        row = self._take(session, intent, Step.REPLACING, {"attempt": number, "kind": kind})
        row.wish = Wish.NONE
        self._add_attempt(session, intent.id, number, kind, unsigned)

    def signed(self, session: Session, intent: Intent, signed: SignedTransaction) -> None:
        """Store the raw bytes, before anybody else sees them."""
        self._take(session, intent, Step.SIGNED, {"tx_hash": signed.hash})
        attempt = self._attempt(session, intent)
        attempt.raw, attempt.tx_hash = signed.raw, signed.hash
        session.add(attempt)

    def keep(self, session: Session, intent: Intent, reason: str, *, wish: Wish = Wish.NONE) -> None:
        """Give a replacement up; the version before stays out. `wish` is what shall still be tried."""
        self._take(session, intent, Step.KEPT, {"reason": reason}).wish = wish
        attempt = self._attempt(session, intent)
        attempt.refused = reason
        session.add(attempt)

    # --- on the chain

    def mined(self, session: Session, intent: Intent, *, tx_hash: str, block_number: int, block_hash: str) -> None:
        """Note in which block a version was found."""
        row = self._take(session, intent, Step.MINED, {"tx_hash": tx_hash, "block": block_number})
        row.tx_hash, row.block_number, row.block_hash = tx_hash, block_number, block_hash

    def settle(
        self, session: Session, intent: Intent, step: Step, outcome: SwapSettled, entries: Sequence[Entry]
    ) -> SwapSettled | None:
        """Give an intent that reached the chain its outcome, and book it; returns what was told before, if anything."""
        return self.settle_all(session, [(intent, step, outcome, entries)])[0]

    def settle_all(self, session: Session, outcomes: Sequence[Ending]) -> list[SwapSettled | None]:
        """Do as `settle` for many, their entries booked together."""
        found, booked = [], list[Entry]()
        for intent, step, outcome, entries in outcomes:
            row, before = self._end_on_chain(session, intent, step, outcome)
            booked += bookings.prepare(row, entries)
            found.append(before)
        self._ledger.post_all_in(session, booked)
        return found

    def _end_on_chain(
        self, session: Session, intent: Intent, step: Step, outcome: SwapSettled
    ) -> tuple[TransactionRow, SwapSettled | None]:
        detail = {"status": outcome.status, "reason": outcome.reason, "tx_hash": outcome.tx_hash}
        row = self._take(session, intent, step, detail)
        before = msgspec.json.decode(row.settlement, type=SwapSettled) if row.settlement else None
        if step is Step.LOST:
            row.tx_hash, row.block_number, row.block_hash = None, outcome.block_number, None
        self._settle(row, step, outcome)
        return row, before

    def undo(self, session: Session, settled: Settled, reason: str) -> None:
        """Take an outcome back that the chain took back: contra entries, and on the way again."""
        row = self._row(session, settled.id)
        self._move(
            session,
            row,
            State.SAFE,
            after(State.SAFE, Step.REORGED, what=row.intent_id),
            Step.REORGED,
            {
                "reason": reason,
                "block": row.block_number,
            },
        )
        bookings.undo(session, self._ledger, row, reason)
        if row.outcome == Step.LOST:
            row.wish = Wish.CANCEL  # It was told that it never happens, so it must not happen now.

    def finalize(self, session: Session, settled: Settled) -> State:
        """Note that the chain can no longer take an outcome back."""
        row = self._row(session, settled.id)
        end = finality(State(row.state), Step(row.outcome or ""), what=row.intent_id)
        self._move(session, row, State.SAFE, end, Step.FINALIZED, {})
        return end

    # --- ends without the chain

    def end(self, session: Session, intent: Intent, step: Step, rule: str, reason: str) -> SwapSettled:
        """End an intent of which nothing was signed (`DECLINED` or `CANCELLED`); its nonce, if any, is free again."""
        outcome = SwapSettled(
            time_ns=self._now_ns(), intent_id=intent.plan.intent_id, status="refused", reason=f"{rule}: {reason}"
        )
        self._database.serialize(session, f"nonce/{self._account}")
        row = self._take(session, intent, step, {"rule": rule, "reason": reason})
        if row.nonce is not None:
            nonce, row.nonce = row.nonce, None
            session.add(row)
            session.flush()
            self._nonces.give_back(session, nonce, self._now_ns())
        session.execute(delete(SpendRow).where(col(SpendRow.transaction_id) == intent.id))
        self._settle(row, step, outcome)
        return outcome

    # --- inside

    @staticmethod
    def _row(session: Session, number: int) -> TransactionRow:
        locked: dict[int, TransactionRow] = session.info.get(_LOCKED, {})
        return locked.get(number) or session.get_one(TransactionRow, number, with_for_update=True)

    def _insert(self, session: Session, plan: TransactionPlan, text: str, initiator: str, vault: str) -> TransactionRow:
        row = TransactionRow(
            intent_id=plan.intent_id,
            strategy=plan.strategy,
            purpose=plan.purpose,
            chain_id=plan.chain_id,
            sender=plan.sender,
            initiator=initiator,
            vault=vault,
            plan=text,
            state=State.CREATED,
        )
        session.add(row)
        session.flush()
        self._note(session, row, Step.CREATED, {"initiator": initiator, "vault": vault})
        return row

    def _settle(self, row: TransactionRow, step: Step, outcome: SwapSettled) -> None:
        row.outcome, row.settlement, row.settled_ns = step, msgspec.json.encode(outcome).decode(), self._now_ns()
        row.wish = Wish.NONE

    def _take(self, session: Session, intent: Intent, step: Step, detail: dict[str, Any]) -> TransactionRow:
        row = self._row(session, intent.id)
        self._move(session, row, intent.state, after(intent.state, step, what=row.intent_id), step, detail)
        return row

    def _move(
        self, session: Session, row: TransactionRow, before: State, state: State, step: Step, detail: dict[str, Any]
    ) -> None:
        if row.state != before:
            raise InvariantError(f"{row.intent_id} is {row.state}, not {before}: another writer moved it")
        row.state = state
        session.add(row)
        self._note(session, row, step, detail)

    def _note(self, session: Session, row: TransactionRow, step: Step, detail: dict[str, Any]) -> None:
        session.add(
            TransactionEventRow(
                transaction_id=row.id or 0,
                event=step,
                state=row.state,
                detail=encode_detail(detail),
                time_ns=self._now_ns(),
            )
        )
        self._observe(session, row.intent_id, step, State(row.state), detail)

    def _spent(self, session: Session, counter: str, since_ns: int) -> int:
        query = (
            select(raw_sum(SpendRow.raw))
            .join(TransactionRow, col(TransactionRow.id) == col(SpendRow.transaction_id))
            .where(col(SpendRow.asset) == counter)
            .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
            .where(col(TransactionRow.approved_ns) > max(since_ns, -1))
            .where(col(TransactionRow.state).in_(_COUNTED))
        )
        return int(session.exec(query).one())

    def _add_attempt(
        self, session: Session, transaction_id: int, number: int, kind: Kind, unsigned: TransactionToSign
    ) -> None:
        session.add(
            AttemptRow(
                transaction_id=transaction_id,
                number=number,
                kind=kind,
                unsigned=encode_unsigned(unsigned),
                ceiling_wei=unsigned.gas_limit * unsigned.fee_ceiling_per_gas_wei,
                created_ns=self._now_ns(),
            )
        )

    @staticmethod
    def _attempt(session: Session, intent: Intent) -> AttemptRow:
        return session.get_one(AttemptRow, (intent.id, intent.attempts[-1].number))

    def _mine(self) -> SelectOfScalar[TransactionRow]:
        return select(TransactionRow).where(
            col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender
        )
