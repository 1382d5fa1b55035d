"""Deposits in the database: a step, its event, its ledger entries and the cursor are one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlmodel import Session, col, delete, select

from chain import Block
from custody.audit import AuditLog
from custody.deposits.bookings import entries_of, undo_of
from custody.deposits.foreign_sweeps import ForeignSweeps
from custody.deposits.reading import Arrival, SeenSweep
from custody.deposits.settings import DepositSettings
from custody.deposits.states import DepositState, DepositStep, after
from custody.deposits.tables import DepositBlockRow, DepositCursorRow, DepositEventRow, DepositRow
from custody.ledger import Entry, Ledger
from custody.ledger.accounts import user_account
from custody.ledger.rows import lock_balances
from custody.ledger.tables import EntryRow
from domain import Address, ChainId, InputError, InvariantError
from runtime.database import Database

log = structlog.get_logger(__name__)

_UNDOABLE = (DepositState.PENDING, DepositState.AVAILABLE, DepositState.SUSPENDED, DepositState.DUST)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a chain was read."""

    number: int
    hash: str
    finalized: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A deposit as the database has it."""

    id: int
    tx_hash: str
    log_index: int
    leg: int
    occurrence: int
    block_number: int
    block_hash: str
    user: str
    address: Address
    asset: str
    raw: int
    sender: Address
    origin: Address
    state: DepositState
    sweep_id: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What screening says of a pending deposit; `reason` is empty when its sender may be dealt with."""

    deposit_id: int
    occurrence: int
    reason: str


Observe = Callable[[Session, DepositRow, DepositStep], None]
"""Told of each step, in the database transaction that takes it."""


class DepositStore:
    """One chain's deposits. Synchronous; the scanner calls it on threads."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        settings: DepositSettings,
        now_ns: Callable[[], int],
        observe: Observe = lambda _session, _deposit, _step: None,
    ) -> None:
        self._observe = observe
        self._database = database
        self._ledger = ledger
        self._settings = settings
        self._audit = AuditLog(database, now_ns)
        self._chain_id = ChainId(settings.chain_id)
        self._now_ns = now_ns
        self._foreign = ForeignSweeps(ledger, self._audit, self._chain_id, settings.vault)

    @property
    def chain_id(self) -> ChainId:
        return self._chain_id

    # --- the cursor

    def cursor(self) -> Cursor | None:
        with self._database.snapshot() as session:
            row = session.get(DepositCursorRow, self._chain_id)
            return None if row is None else Cursor(row.number, row.hash, row.finalized)

    def begin(self, block: Block, openings: Sequence[Entry] = ()) -> None:
        """Take a block as read without looking into it: the first one. A second time changes nothing.

        Args:
            block: The first to be read is its child.
            openings: What our own accounts held at that block; those opened before stand as they are.
        """
        with self._database.transaction() as session:
            self._serialize(session)
            if session.get(DepositCursorRow, self._chain_id) is None:
                keys = col(EntryRow.key).in_([entry.key for entry in openings])
                known = set(session.exec(select(EntryRow.key).where(keys)))
                self._ledger.post_all_in(session, [entry for entry in openings if entry.key not in known])
                # Below the beginning nothing is undone, because nothing was read.
                number = int(block.number)
                session.add(DepositCursorRow(chain_id=self._chain_id, number=number, hash=block.hash, finalized=number))
                session.add(DepositBlockRow(chain_id=self._chain_id, number=number, hash=block.hash))

    def read_blocks(self) -> dict[int, str]:
        """Hashes of the blocks that were read and are not final, by number, and of the newest final one."""
        with self._database.snapshot() as session:
            rows = session.exec(select(DepositBlockRow).where(col(DepositBlockRow.chain_id) == self._chain_id))
            return {row.number: row.hash for row in rows}

    # --- what the chain does

    def apply(
        self,
        parent: Cursor,
        blocks: Sequence[Block],
        arrivals: Sequence[Arrival],
        sweeps: Sequence[SeenSweep],
        book: Mapping[Address, str],
    ) -> bool:
        """Book what consecutive blocks brought and move the cursor over them; False when it stands elsewhere by now.

        Args:
            parent: The cursor they were read after.
            blocks: The children of that block, in order.
            arrivals: What they brought.
            sweeps: Which forwarders were swept in them, by us or by others.
            book: Users by address.
        """
        with self._database.transaction() as session:
            row = self._at(session, parent)
            if row is None:
                return False
            if blocks[0].parent_hash != parent.hash:
                raise InvariantError(f"block {blocks[0].number} is no child of the block read last, {parent.hash}")
            for arrival in arrivals:
                self._arrive(session, arrival, book[arrival.address])
            for sweep in sweeps:
                self._foreign.note(session, sweep)
            for block in blocks:
                session.merge(DepositBlockRow(chain_id=self._chain_id, number=int(block.number), hash=block.hash))
            row.number, row.hash = int(blocks[-1].number), blocks[-1].hash
        return True

    def rewind(self, cursor: Cursor, ancestor: int) -> bool:
        """Undo everything after a block that was read: its children are no longer the chain's.

        Raises:
            InvariantError: The block is below the finalized one: finality did not hold.
        """
        with self._database.transaction() as session:
            row = self._at(session, cursor)
            if row is None:
                return False
            if ancestor < row.finalized:
                raise InvariantError(f"chain {self._chain_id} went back below its finalized block {row.finalized}")
            block = session.get_one(DepositBlockRow, (self._chain_id, ancestor))
            undone = session.exec(
                select(DepositRow)
                .where(col(DepositRow.chain_id) == self._chain_id, col(DepositRow.block_number) > ancestor)
                .where(col(DepositRow.state) != DepositState.REORGED)
                .order_by(col(DepositRow.id).desc())
            ).all()
            self._lock_available(session, undone)
            self._foreign.undo(session, ancestor)
            for deposit in undone:
                self._undo(session, deposit)
            session.execute(
                delete(DepositBlockRow).where(
                    col(DepositBlockRow.chain_id) == self._chain_id, col(DepositBlockRow.number) > ancestor
                )
            )
            row.number, row.hash = ancestor, block.hash
        if undone:
            log.warning("deposits.reorged", chain_id=self._chain_id, ancestor=ancestor, deposits=len(undone))
        return True

    def finalize(self, cursor: Cursor, number: int, block_hash: str) -> bool:
        """Take a block that was read as final: deposits up to it are for ever. False when it is not the one read."""
        with self._database.transaction() as session:
            row = self._at(session, cursor)
            if row is None or number < row.finalized or number > row.number:
                return False
            known = session.get(DepositBlockRow, (self._chain_id, number))
            if known is None or known.hash != block_hash:
                return False
            row.finalized = number
            for deposit in self._in_state(session, DepositState.AVAILABLE, up_to=number):
                deposit.final_ns = self._now_ns()
                self._step(session, deposit, DepositStep.FINALIZED, {"block": number})
            session.execute(
                delete(DepositBlockRow).where(
                    col(DepositBlockRow.chain_id) == self._chain_id, col(DepositBlockRow.number) < number
                )
            )
        return True

    def is_due(self, cursor: Cursor, number: int) -> bool:
        """Whether `finalize` would change anything: the block is new, or a deposit was credited late."""
        if number > cursor.finalized:
            return True
        with self._database.snapshot() as session:
            return bool(self._in_state(session, DepositState.AVAILABLE, up_to=number))

    # --- what is decided

    def confirmable(self, confirmations: int) -> list[Deposit]:
        """Pending deposits that lie deep enough, oldest first."""
        with self._database.snapshot() as session:
            row = session.get(DepositCursorRow, self._chain_id)
            if row is None:
                return []
            due = self._in_state(session, DepositState.PENDING, up_to=row.number - confirmations + 1)
            return [_deposit(deposit) for deposit in due]

    def decide(self, verdicts: Sequence[Verdict], confirmations: int) -> int:
        """Credit deposits, or suspend them; those that were reorganised away meanwhile are left alone."""
        changed = 0
        with self._database.transaction() as session:
            self._serialize(session)
            row = session.get_one(DepositCursorRow, self._chain_id)
            for verdict in verdicts:
                deposit = session.get_one(DepositRow, verdict.deposit_id)
                is_deep = deposit.block_number <= row.number - confirmations + 1
                is_same = deposit.occurrence == verdict.occurrence
                if deposit.state != DepositState.PENDING or not is_deep or not is_same:
                    continue
                step = DepositStep.REFUSED if verdict.reason else DepositStep.CONFIRMED
                self._step(session, deposit, step, {"reason": verdict.reason} if verdict.reason else {})
                changed += 1
                if verdict.reason:
                    self._audit.append(
                        session, "deposit.suspended", f"deposit/{deposit.id}", _told(deposit, verdict.reason)
                    )
        for verdict in verdicts:
            if verdict.reason:
                log.critical("deposits.suspended", deposit_id=verdict.deposit_id, reason=verdict.reason)
        return changed

    def clear(self, deposit_id: int, *, operator: str, reason: str) -> None:
        """Credit a suspended deposit after all, once it is final.

        Raises:
            InputError: There is no such deposit, it is not suspended, or not final yet.
        """
        with self._database.transaction() as session:
            self._serialize(session)
            deposit = session.get(DepositRow, deposit_id)
            if deposit is None or deposit.chain_id != self._chain_id or deposit.state != DepositState.SUSPENDED:
                raise InputError(
                    f"chain {self._chain_id} has no suspended deposit {deposit_id}",
                    hint="`capstan custody deposits list --state suspended` shows them",
                )
            row = session.get_one(DepositCursorRow, self._chain_id)
            if deposit.block_number > row.finalized:
                raise InputError(f"deposit {deposit_id} is not final yet", hint=f"block {deposit.block_number} is not")
            deposit.final_ns = self._now_ns()
            self._step(session, deposit, DepositStep.CLEARED, {"operator": operator, "reason": reason})
            detail = _told(deposit, reason) | {"operator": operator}
            self._audit.append(session, "deposit.cleared", f"deposit/{deposit.id}", detail)

    def deposits(self, user: str | None = None) -> list[Deposit]:
        """Every deposit of the chain, or of one user, oldest first."""
        query = select(DepositRow).where(col(DepositRow.chain_id) == self._chain_id).order_by(col(DepositRow.id))
        if user is not None:
            query = query.where(col(DepositRow.user) == user)
        with self._database.snapshot() as session:
            return [_deposit(row) for row in session.exec(query)]

    # --- parts

    def _serialize(self, session: Session) -> None:
        self._database.serialize(session, f"deposits/{self._chain_id}")

    def _at(self, session: Session, cursor: Cursor) -> DepositCursorRow | None:
        """The cursor's row, held until the transaction ends; None when it has moved since `cursor` was read."""
        self._serialize(session)
        row = session.get_one(DepositCursorRow, self._chain_id)
        return row if (row.number, row.hash) == (cursor.number, cursor.hash) else None

    def _in_state(self, session: Session, state: DepositState, *, up_to: int) -> list[DepositRow]:
        query = (
            select(DepositRow)
            .where(col(DepositRow.chain_id) == self._chain_id, col(DepositRow.state) == state)
            .where(col(DepositRow.block_number) <= up_to)
            .order_by(col(DepositRow.id))
        )
        return list(session.exec(query))

    def _arrive(self, session: Session, arrival: Arrival, user: str) -> None:
        known = session.exec(
            select(DepositRow)
            .where(col(DepositRow.chain_id) == self._chain_id, col(DepositRow.tx_hash) == arrival.tx_hash)
            .where(col(DepositRow.log_index) == arrival.log_index, col(DepositRow.leg) == arrival.leg)
        ).first()
        fields: dict[str, Any] = {
            "block_number": arrival.block_number,
            "block_hash": arrival.block_hash,
            "user": user,
            "address": arrival.address,
            "asset": arrival.asset,
            "raw": arrival.raw,
            "sender": arrival.sender,
            "origin": arrival.origin,
        }
        minimum = self._settings.assets[arrival.asset].minimum_raw
        step = DepositStep.TOO_SMALL if arrival.raw < minimum else DepositStep.SEEN
        if known is None:
            known = DepositRow(
                chain_id=self._chain_id,
                tx_hash=arrival.tx_hash,
                log_index=arrival.log_index,
                leg=arrival.leg,
                occurrence=0,
                state="",
                seen_ns=self._now_ns(),
                **fields,
            )
            session.add(known)
        else:
            # Mined again, perhaps with other effects: the same transaction on another state.
            known.occurrence += 1
            for name, value in fields.items():
                setattr(known, name, value)
        session.flush()
        self._step(session, known, step, {"block": arrival.block_hash})

    def _undo(self, session: Session, deposit: DepositRow) -> None:
        reason = f"block {deposit.block_hash} is gone"
        short = 0
        if deposit.state == DepositState.AVAILABLE:
            available = self._ledger.available_in(session, deposit.user, deposit.asset)
            short = max(0, deposit.raw - available)
            self._audit.append(session, "deposit.reorged", f"deposit/{deposit.id}", _told(deposit, reason))
        if short:
            log.critical(
                "deposits.short", deposit_id=deposit.id, user=deposit.user, asset=deposit.asset, short_raw=str(short)
            )
        entries = undo_of(deposit, reason, short_raw=short)
        self._advance(session, deposit, DepositStep.REORGED, {"reason": reason, "short_raw": str(short)})
        for entry in entries:
            self._ledger.post_in(session, entry)

    def _lock_available(self, session: Session, deposits: Sequence[DepositRow]) -> None:
        """Lock in one order what `_undo` will look at one by one, so that two such callers do not wait in a circle."""
        lock_balances(session, {(user_account(deposit.user), deposit.asset) for deposit in deposits})

    def _step(self, session: Session, deposit: DepositRow, step: DepositStep, detail: Mapping[str, Any]) -> None:
        entries = entries_of(deposit, step)
        self._advance(session, deposit, step, detail)
        self._ledger.post_all_in(session, entries)

    def _advance(self, session: Session, deposit: DepositRow, step: DepositStep, detail: Mapping[str, Any]) -> None:
        before = DepositState(deposit.state) if deposit.state else None
        deposit.state = after(before, step, what=f"deposit {deposit.id}")
        session.add(
            DepositEventRow(
                deposit_id=deposit.id or 0,
                event=step,
                state=deposit.state,
                detail=json.dumps(detail, separators=(",", ":"), sort_keys=True),
                time_ns=self._now_ns(),
            )
        )
        self._observe(session, deposit, step)


def _deposit(row: DepositRow) -> Deposit:
    return Deposit(
        id=row.id or 0,
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        leg=row.leg,
        occurrence=row.occurrence,
        block_number=row.block_number,
        block_hash=row.block_hash,
        user=row.user,
        address=Address(row.address),
        asset=row.asset,
        raw=row.raw,
        sender=Address(row.sender),
        origin=Address(row.origin),
        state=DepositState(row.state),
        sweep_id=row.sweep_id,
    )


def _told(deposit: DepositRow, reason: str) -> dict[str, Any]:
    return {
        "chain_id": deposit.chain_id,
        "tx_hash": deposit.tx_hash,
        "user": deposit.user,
        "address": deposit.address,
        "asset": deposit.asset,
        "raw": str(deposit.raw),
        "sender": deposit.sender,
        "reason": reason,
    }
