"""The outbox: every intent with its state, in the database. A step and its event row are one database transaction.

Nonces are handed out here, without gaps: a nonce belongs to one intent from the moment its unsigned transaction is
recorded, and comes back only when nothing was signed under it. At most one intent of an account is between reserving
and signing, so a nonce that comes back is always the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from custody.ledger import Entry, Ledger
from custody.policy import Decision, Spent
from custody.transactions.lifecycle import SETTLED, State, Step, after
from custody.transactions.plans import decode_plan, encode_plan
from custody.transactions.tables import AttemptRow, NonceRow, SpendRow, TransactionEventRow, TransactionRow
from domain import Address, ChainId, InputError, InvariantError
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime.database import Database, raw_sum
from wallets import SignedTransaction, TransactionToSign

_UNCOUNTED = (State.CREATED, State.SCREENED, State.REFUSED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version of an intent's transaction. `raw` is there once it was signed; `refused` says why it never was."""

    number: int
    unsigned: TransactionToSign
    raw: bytes | None
    tx_hash: str | None
    refused: str | None
    created_ns: int


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent as the database knows it."""

    id: int
    plan: TransactionPlan
    state: State
    nonce: int | None
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    attempts: tuple[Attempt, ...]

    @property
    def signed(self) -> tuple[Attempt, ...]:
        """The versions that may be on the chain, newest first."""
        return tuple(attempt for attempt in reversed(self.attempts) if attempt.raw is not None)


class Outbox:
    """The intents of one account on one chain. Synchronous; custody calls it on threads."""

    def __init__(
        self, database: Database, ledger: Ledger, *, chain_id: ChainId, sender: Address, now_ns: Callable[[], int]
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._chain_id = chain_id
        self._sender = sender
        self._now_ns = now_ns
        self._account = f"{chain_id}/{sender}"

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
        self._note(session, row, Step.CREATED, {})
        return True

    def unfinished(self) -> list[Intent]:
        """Every intent without an outcome, in the order they were recorded."""
        with self._database.snapshot() as session:
            query = self._mine().where(col(TransactionRow.state).not_in(SETTLED)).order_by(col(TransactionRow.id))
            return [_intent(session, row) for row in session.exec(query)]

    def settled_between(self, first_nonce: int, end_nonce: int) -> list[Intent]:
        """Intents that were booked as mined or reverted under nonces from `first_nonce` up to `end_nonce`, in order."""
        with self._database.snapshot() as session:
            query = (
                self._mine()
                .where(col(TransactionRow.state).in_((State.SAFE, State.FINAL, State.FAILED, State.CANCELLED)))
                .where(col(TransactionRow.nonce) >= first_nonce, col(TransactionRow.nonce) < end_nonce)
                .order_by(col(TransactionRow.nonce))
            )
            # What was lost to somebody else's transaction is settled without a hash, and stays out.
            return [_intent(session, row) for row in session.exec(query) if _settled_hash(row)]

    def find(self, intent_id: str) -> Intent | None:
        """Look an intent up."""
        with self._database.snapshot() as session:
            row = session.exec(self._mine().where(col(TransactionRow.intent_id) == intent_id)).first()
            return None if row is None else _intent(session, row)

    def settlements(self, since_ns: int = 0) -> list[SwapSettled]:
        """What became of every intent settled at or after an instant, oldest first."""
        with self._database.snapshot() as session:
            query = (
                select(TransactionRow.settlement)
                .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
                .where(col(TransactionRow.settled_ns) >= since_ns)
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

    def step(self, intent: Intent, step: Step, **detail: Any) -> None:
        """Take a step that changes the state and nothing else."""
        with self._database.transaction() as session:
            self._take(session, intent, step, detail)

    def approve(self, intent: Intent, judge: Callable[[Spent], Decision]) -> None:
        """Let policy judge, and count what it allows in the windows in the same transaction.

        Raises:
            Refused: From the judge; nothing is changed.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"velocity/{self._account}")
            now = self._now_ns()
            decision = judge(lambda counter, window_s: self._spent(session, counter, now - window_s * 10**9))
            row = self._take(session, intent, Step.APPROVED, {})
            row.approved_ns = now
            session.add_all(
                SpendRow(transaction_id=intent.id, asset=counter, raw=raw)
                for counter, raw in decision.counts.items()
                if raw
            )

    def reserve(self, intent: Intent, chain_nonce: int, build: Callable[[int], TransactionToSign]) -> bool:
        """Take the next nonce and record the unsigned transaction under it; False while another one is being signed.

        Args:
            intent: An approved one.
            chain_nonce: The chain's own count for the account: where counting begins, and a floor ever after.
            build: Makes the transaction for a nonce.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"nonce/{self._account}")
            busy = session.exec(self._mine().where(col(TransactionRow.state) == State.NONCE_RESERVED)).first()
            if busy is not None:
                return False
            counter = session.get(NonceRow, (self._chain_id, self._sender))
            if counter is None:
                counter = NonceRow(chain_id=self._chain_id, address=self._sender, next_nonce=chain_nonce)
            nonce = max(counter.next_nonce, chain_nonce)
            counter.next_nonce = nonce + 1
            session.add(counter)
            row = self._take(session, intent, Step.RESERVED, {"nonce": nonce})
            row.nonce = nonce
            self._add_attempt(session, intent, 0, build(nonce))
        return True

    def replace(self, intent: Intent, unsigned: TransactionToSign) -> None:
        """Record a version with higher fees under the same nonce, to be signed next."""
        number = len(intent.attempts)
        with self._database.transaction() as session:
            self._take(session, intent, Step.REPLACING, {"attempt": number})
            self._add_attempt(session, intent, number, unsigned)

    def signed(self, intent: Intent, signed: SignedTransaction) -> None:
        """Store the raw bytes, before anybody else sees them."""
        with self._database.transaction() as session:
            self._take(session, intent, Step.SIGNED, {"tx_hash": signed.hash})
            attempt = self._attempt(session, intent)
            attempt.raw, attempt.tx_hash = signed.raw, signed.hash
            session.add(attempt)

    def keep(self, intent: Intent, reason: str) -> None:
        """Give a replacement up; the version before stays out."""
        with self._database.transaction() as session:
            self._take(session, intent, Step.KEPT, {"reason": reason})
            attempt = self._attempt(session, intent)
            attempt.refused = reason
            session.add(attempt)

    def mined(self, intent: Intent, *, tx_hash: str, block_number: int, block_hash: str) -> None:
        """Note in which block a version was found."""
        with self._database.transaction() as session:
            row = self._take(session, intent, Step.MINED, {"tx_hash": tx_hash, "block": block_number})
            row.tx_hash, row.block_number, row.block_hash = tx_hash, block_number, block_hash

    def decline(self, intent: Intent, rule: str, reason: str) -> SwapSettled:
        """End an intent of which nothing was signed; its nonce, if it has one, is free again."""
        outcome = SwapSettled(
            time_ns=self._now_ns(), intent_id=intent.plan.intent_id, status="refused", reason=f"{rule}: {reason}"
        )
        with self._database.transaction() as session:
            self._database.serialize(session, f"nonce/{self._account}")
            row = self._take(session, intent, Step.DECLINED, {"rule": rule, "reason": reason})
            if row.nonce is not None:
                counter = session.get_one(NonceRow, (self._chain_id, self._sender))
                if counter.next_nonce != row.nonce + 1:
                    raise InvariantError(f"{row.intent_id}: nonce {row.nonce} cannot be freed, it is not the last")
                counter.next_nonce, row.nonce = row.nonce, None
                session.add(counter)
            self._settle(row, Step.DECLINED, outcome)
        return outcome

    def settle(self, intent: Intent, step: Step, outcome: SwapSettled, entries: Sequence[Entry]) -> None:
        """End an intent that reached the chain: its state, its outcome and its ledger entries, all or none."""
        with self._database.transaction() as session:
            row = self._take(session, intent, step, {"status": outcome.status, "reason": outcome.reason})
            self._settle(row, step, outcome)
            for entry in entries:
                self._ledger.post_in(session, entry)

    def _settle(self, row: TransactionRow, step: Step, outcome: SwapSettled) -> None:
        row.outcome, row.settlement, row.settled_ns = step, msgspec.json.encode(outcome).decode(), self._now_ns()

    def _take(self, session: Session, intent: Intent, step: Step, detail: dict[str, Any]) -> TransactionRow:
        row = session.get_one(TransactionRow, intent.id, with_for_update=True)
        if row.state != intent.state:
            raise InvariantError(f"{row.intent_id} is {row.state}, not {intent.state}: another writer moved it")
        row.state = after(State(row.state), step, what=row.intent_id)
        session.add(row)
        self._note(session, row, step, detail)
        return row

    def _note(self, session: Session, row: TransactionRow, step: Step, detail: dict[str, Any]) -> None:
        event = TransactionEventRow(
            transaction_id=row.id or 0,
            event=step,
            state=row.state,
            detail=json.dumps(detail, separators=(",", ":")),
            time_ns=self._now_ns(),
        )
        session.add(event)

    def _spent(self, session: Session, counter: str, since_ns: int) -> int:
        query = (
            select(raw_sum(SpendRow.raw))
            .join(TransactionRow, col(TransactionRow.id) == col(SpendRow.transaction_id))
            .where(col(SpendRow.asset) == counter)
            .where(col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender)
            .where(col(TransactionRow.approved_ns) > max(since_ns, -1))
            .where(col(TransactionRow.state).not_in(_UNCOUNTED))
        )
        return int(session.exec(query).one())

    def _add_attempt(self, session: Session, intent: Intent, number: int, unsigned: TransactionToSign) -> None:
        session.add(
            AttemptRow(
                transaction_id=intent.id,
                number=number,
                unsigned=json.dumps(unsigned.to_wire(), separators=(",", ":")),
                created_ns=self._now_ns(),
            )
        )

    @staticmethod
    def _attempt(session: Session, intent: Intent) -> AttemptRow:
        return session.get_one(AttemptRow, (intent.id, intent.attempts[-1].number))

    def _mine(self) -> Any:
        return select(TransactionRow).where(
            col(TransactionRow.chain_id) == self._chain_id, col(TransactionRow.sender) == self._sender
        )


def _settled_hash(row: TransactionRow) -> str:
    return msgspec.json.decode(row.settlement, type=SwapSettled).tx_hash if row.settlement else ""


def _intent(session: Session, row: TransactionRow) -> Intent:
    attempts = session.exec(
        select(AttemptRow).where(col(AttemptRow.transaction_id) == row.id).order_by(col(AttemptRow.number))
    )
    return Intent(
        id=row.id or 0,
        plan=decode_plan(row.plan),
        state=State(row.state),
        nonce=row.nonce,
        tx_hash=row.tx_hash,
        block_number=row.block_number,
        block_hash=row.block_hash,
        attempts=tuple(
            Attempt(
                number=attempt.number,
                unsigned=TransactionToSign.from_wire(json.loads(attempt.unsigned)),
                raw=attempt.raw,
                tx_hash=attempt.tx_hash,
                refused=attempt.refused,
                created_ns=attempt.created_ns,
            )
            for attempt in attempts
        ),
    )
