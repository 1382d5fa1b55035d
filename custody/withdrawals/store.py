"""Withdrawals in the database. A step, its event row, its ledger entries and its audit record are one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import or_
from sqlmodel import Session, col, select

from custody.audit import AuditLog
from custody.ledger import Entry, Ledger, postings
from custody.transactions.tables import TransactionRow
from custody.withdrawals.lifecycle import ENDED, State, Step, after
from custody.withdrawals.requests import ChainDestination, Destination, VenueDestination, WithdrawalRequest
from custody.withdrawals.tables import WithdrawalEventRow, WithdrawalRow
from custody.withdrawals.transfers import HOUSE
from domain import Address, ChainId, InputError
from runtime.database import Database

AUDIT_KIND: Final = "withdrawal.state"
Find = Callable[[Session, WithdrawalRow], tuple[Sequence[Step], Sequence[Entry]]]
"""Names the steps to take for a row as it stands, with their ledger entries."""
Observe = Callable[[Session, "Withdrawal", Step], None]
"""Told of each step, in the database transaction that takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A withdrawal as the database knows it."""

    id: str
    client: str
    user: str
    vault: str
    asset: str
    raw: int
    fee_raw: int
    destination: Destination
    state: State
    reason: str
    tx_hash: str
    venue_ref: str
    chosen_ref: str
    """Which of several an operator said it is."""
    decision: str
    due_ns: int
    asked_ns: int
    needs_operator: bool
    created_ns: int
    updated_ns: int

    @property
    def chain(self) -> ChainDestination:
        """Where it goes on a chain. Only for those that do."""
        if not isinstance(self.destination, ChainDestination):
            raise InputError(f"{self.id} is not paid out on a chain of ours")
        return self.destination

    @property
    def venue(self) -> VenueDestination:
        """Where the exchange sends it. Only for those of an exchange."""
        if not isinstance(self.destination, VenueDestination):
            raise InputError(f"{self.id} is not paid out by an exchange")
        return self.destination


class WithdrawalStore:
    """Records withdrawals and takes their steps. Synchronous; the desk calls it on threads."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        audit: AuditLog,
        now_ns: Callable[[], int],
        observe: Observe = lambda _session, _withdrawal, _step: None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._audit = audit
        self._now_ns = now_ns
        self._observe = observe

    def record(
        self, request: WithdrawalRequest, *, fee_raw: int, check: Callable[[Session], None]
    ) -> tuple[Withdrawal, bool]:
        """Record a request in a transaction of its own; see `record_in`."""
        with self._database.transaction() as session:
            return self.record_in(session, request, fee_raw=fee_raw, check=check)

    def record_in(
        self, session: Session, request: WithdrawalRequest, *, fee_raw: int, check: Callable[[Session], None]
    ) -> tuple[Withdrawal, bool]:
        """Record a request and hold its funds; tells whether it is new.

        Args:
            session: A transaction of the caller's, with which it stands or falls.
            request: What is asked for.
            fee_raw: What the user pays for it, on top.
            check: May refuse a new one, in the same database transaction.

        Raises:
            InputError: The key stands for another request.
            Refused: Rule `funds`: the user has less available. From `check`, its own.
        """
        self._database.serialize(session, f"withdrawal/{request.withdrawal_id}")
        known = _find(session, request.withdrawal_id)
        if known is not None:
            if known.digest != request.digest():
                raise InputError(
                    f"key {request.key!r} of {request.client} stands for another withdrawal: {known.withdrawal_id}",
                    hint="a new withdrawal needs a new key",
                )
            return read(known), False
        check(session)
        to, now = request.destination, self._now_ns()
        row = WithdrawalRow(
            withdrawal_id=request.withdrawal_id,
            client=request.client,
            client_key=request.key,
            digest=request.digest(),
            user=request.user,
            kind=to.kind,
            place=to.place,
            network=to.network,
            asset=request.asset.id,
            raw=request.raw,
            fee_raw=fee_raw,
            address=to.address,
            memo=to.memo,
            vault=request.vault,
            state=State.REQUESTED,
            created_ns=now,
            updated_ns=now,
        )
        session.add(row)
        session.flush()
        if row.user != HOUSE:
            held = postings.withdrawal_held(row.withdrawal_id, row.user, row.asset, row.raw, fee_raw=row.fee_raw)
            self._ledger.post_in(session, held)
        detail = {"client": row.client, "user": row.user, "asset": row.asset, "raw": str(row.raw)}
        self._note(session, row, Step.REQUESTED, {**detail, "fee_raw": str(fee_raw), "address": row.address})
        return read(row), True

    def take(
        self,
        withdrawal: Withdrawal,
        steps: Sequence[Step],
        *,
        detail: dict[str, Any] | None = None,
        entries: Sequence[Entry] = (),
        also: Callable[[Session, WithdrawalRow], None] | None = None,
    ) -> Withdrawal:
        """Take steps in one database transaction, with what belongs to them.

        A withdrawal that somebody else has moved meanwhile is left as it is: the caller looks again. Ending without
        having paid gives the user's funds back.

        Raises:
            InvariantError: A step must not happen in its state.
            Refused: From `also`; then nothing has changed.
        """
        with self._database.transaction() as session:
            row = self._lock(session, withdrawal.id)
            if row.state != withdrawal.state:
                return read(row)
            if also is not None:
                also(session, row)
            self._take_in(session, row, steps, detail or {}, entries)
            return read(row)

    def change_state(self, withdrawal_id: str, find: Find) -> Withdrawal:
        """Take the steps that `find` names for the row as it stands now, with their ledger entries."""
        with self._database.transaction() as session:
            row = self._lock(session, withdrawal_id)
            steps, entries = find(session, row)
            self._take_in(session, row, steps, {"reason": row.reason} if row.reason else {}, entries)
            return read(row)

    def _take_in(
        self,
        session: Session,
        row: WithdrawalRow,
        steps: Sequence[Step],
        detail: dict[str, Any],
        entries: Sequence[Entry],
    ) -> None:
        for step in steps:
            row.state = after(State(row.state), step, what=row.withdrawal_id)
            self._note(session, row, step, detail)
        row.updated_ns = self._now_ns()
        session.add(row)
        session.flush()
        booked = [*entries]
        if steps and row.user != HOUSE and row.state in (State.REFUSED, State.CANCELLED, State.FAILED):
            booked.append(
                postings.withdrawal_released(
                    row.withdrawal_id, row.user, row.asset, row.raw, fee_raw=row.fee_raw, reason=row.reason
                )
            )
        self._ledger.post_all_in(session, booked)

    def change(self, withdrawal_id: str, change: Callable[[Session, WithdrawalRow], None]) -> Withdrawal:
        """Change what is no state (when to look again, what is known)."""
        with self._database.transaction() as session:
            row = self._lock(session, withdrawal_id)
            change(session, row)
            row.updated_ns = self._now_ns()
            session.add(row)
            return read(row)

    def find(self, withdrawal_id: str) -> Withdrawal:
        """Look one up.

        Raises:
            InputError: There is none.
        """
        with self._database.snapshot() as session:
            row = _find(session, withdrawal_id)
            if row is None:
                raise InputError(f"no withdrawal {withdrawal_id!r}")
            return read(row)

    def has_transaction(self, withdrawal_id: str) -> bool:
        """Whether its transaction is recorded."""
        with self._database.snapshot() as session:
            query = select(TransactionRow.id).where(col(TransactionRow.intent_id) == withdrawal_id)
            return session.exec(query).first() is not None

    def is_claimed(self, venue: str, ref: str, *, but: str) -> bool:
        """Whether another withdrawal than `but` is an exchange's `ref`."""
        with self._database.snapshot() as session:
            query = select(WithdrawalRow.id).where(
                col(WithdrawalRow.kind) == "venue",
                col(WithdrawalRow.place) == venue,
                col(WithdrawalRow.venue_ref) == ref,
                col(WithdrawalRow.withdrawal_id) != but,
            )
            return session.exec(query).first() is not None

    def serialize(self, session: Session, topic: str) -> None:
        """Let one transaction at a time pass here per topic."""
        self._database.serialize(session, topic)

    def recent(self, *, user: str = "", open_only: bool = False, limit: int = 200) -> list[Withdrawal]:
        """Give withdrawals, newest first."""
        query = select(WithdrawalRow).order_by(col(WithdrawalRow.id).desc()).limit(limit)
        if user:
            query = query.where(col(WithdrawalRow.user) == user)
        if open_only:
            query = query.where(col(WithdrawalRow.state).not_in(ENDED))
        with self._database.snapshot() as session:
            return [read(row) for row in session.exec(query)]

    def history(self, withdrawal_id: str) -> list[dict[str, Any]]:
        """The steps a withdrawal took, oldest first."""
        with self._database.snapshot() as session:
            query = (
                select(WithdrawalEventRow)
                .join(WithdrawalRow, col(WithdrawalRow.id) == col(WithdrawalEventRow.withdrawal))
                .where(col(WithdrawalRow.withdrawal_id) == withdrawal_id)
                .order_by(col(WithdrawalEventRow.id))
            )
            return [
                {"step": row.event, "state": row.state, "time_ns": row.time_ns, "detail": json.loads(row.detail)}
                for row in session.exec(query)
            ]

    def due(self, now_ns: int) -> list[tuple[Withdrawal, str]]:
        """Withdrawals that have something to be done, oldest first, each with its transaction's state (or nothing).

        Left out are those whose transaction stands where it was seen last, and those that wait for an instant.
        """
        query = (
            select(WithdrawalRow, TransactionRow.state)
            .outerjoin(TransactionRow, col(TransactionRow.intent_id) == col(WithdrawalRow.withdrawal_id))
            .where(col(WithdrawalRow.state).not_in(ENDED))
            .where(
                or_(
                    col(TransactionRow.state).is_(None) & (col(WithdrawalRow.state) != State.HELD),
                    col(TransactionRow.state) != col(WithdrawalRow.followed),
                )
            )
            .where(col(WithdrawalRow.due_ns) <= now_ns)
            .order_by(col(WithdrawalRow.id))
        )
        with self._database.snapshot() as session:
            return [(read(row), state or "") for row, state in session.exec(query)]

    def next_due_ns(self) -> int | None:
        """The next instant one of them waits for."""
        query = (
            select(WithdrawalRow.due_ns)
            .where(col(WithdrawalRow.state).not_in(ENDED), col(WithdrawalRow.due_ns) > 0)
            .order_by(col(WithdrawalRow.due_ns))
            .limit(1)
        )
        with self._database.snapshot() as session:
            return session.exec(query).first()

    def _lock(self, session: Session, withdrawal_id: str) -> WithdrawalRow:
        row = session.exec(
            select(WithdrawalRow).where(col(WithdrawalRow.withdrawal_id) == withdrawal_id).with_for_update()
        ).first()
        if row is None:
            raise InputError(f"no withdrawal {withdrawal_id!r}")
        return row

    def _note(self, session: Session, row: WithdrawalRow, step: Step, detail: dict[str, Any]) -> None:
        session.add(
            WithdrawalEventRow(
                withdrawal=row.id or 0,
                event=step,
                state=row.state,
                detail=json.dumps(detail, separators=(",", ":"), sort_keys=True),
                time_ns=self._now_ns(),
            )
        )
        subject = f"withdrawal/{row.withdrawal_id}"
        self._audit.append(session, AUDIT_KIND, subject, {"step": step.value, "state": row.state, **detail})
        self._observe(session, read(row), step)


def read(row: WithdrawalRow) -> Withdrawal:
    """Convert a row."""
    destination: Destination
    if row.kind == "chain":
        destination = ChainDestination(ChainId(int(row.place)), Address(row.address))
    else:
        destination = VenueDestination(row.place, row.network, row.address, row.memo)
    return Withdrawal(
        id=row.withdrawal_id,
        client=row.client,
        user=row.user,
        vault=row.vault,
        asset=row.asset,
        raw=row.raw,
        fee_raw=row.fee_raw,
        destination=destination,
        state=State(row.state),
        reason=row.reason,
        tx_hash=row.tx_hash,
        venue_ref=row.venue_ref,
        chosen_ref=row.followed if row.kind == "venue" else "",
        decision=row.decision,
        due_ns=row.due_ns,
        asked_ns=row.asked_ns,
        needs_operator=row.needs_operator,
        created_ns=row.created_ns,
        updated_ns=row.updated_ns,
    )


def _find(session: Session, withdrawal_id: str) -> WithdrawalRow | None:
    return session.exec(select(WithdrawalRow).where(col(WithdrawalRow.withdrawal_id) == withdrawal_id)).first()
