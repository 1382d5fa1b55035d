"""`Ledger.verify`: the books against themselves.

Every entry balances and fits the fingerprint taken when it was booked; every derived balance is the sum of its
account's postings, and none is beyond what its account may hold; the triggers that keep the tables append-only stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from custody.columns import append_only_tables
from custody.ledger.accounts import may_hold
from custody.ledger.entries import Entry, Posting
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow
from domain import InvariantError
from runtime.database import Database, raw_sum


@dataclass(frozen=True, slots=True)
class Verification:
    """What `Ledger.verify` found. `problems` is empty when the books are sound."""

    entries: int
    postings: int
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return not self.problems


def verify(database: Database) -> Verification:
    """Check all the books in one snapshot."""
    with database.snapshot() as session:
        return Verification(
            entries=session.exec(select(func.count()).select_from(EntryRow)).one(),
            postings=session.exec(select(func.count()).select_from(PostingRow)).one(),
            problems=(
                *_unbalanced(session),
                *_altered(session),
                *_wrong_balances(session),
                *_missing_triggers(session, is_sqlite=database.is_sqlite),
            ),
        )


def _unbalanced(session: Session) -> list[str]:
    total = raw_sum(PostingRow.raw)
    query = (
        select(PostingRow.entry_id, PostingRow.asset, total)
        .group_by(col(PostingRow.entry_id), col(PostingRow.asset))
        .having(total != 0)
    )
    return [f"entry {number} is off by {raw} of {asset}" for number, asset, raw in session.exec(query)]


def _altered(session: Session) -> list[str]:
    """Entries whose rows do not match the fingerprint taken when they were booked."""
    legs: Mapping[int, list[Posting]] = defaultdict(list)
    for row in session.exec(select(PostingRow).order_by(col(PostingRow.entry_id), col(PostingRow.line))):
        legs[row.entry_id].append(Posting(row.account, row.asset, row.raw))
    problems = []
    for entry in session.exec(select(EntryRow).order_by(col(EntryRow.id))):
        try:
            booked = Entry(entry.key, entry.kind, tuple(legs.get(entry.id or 0, ())), entry.strategy)
        except InvariantError as exc:
            problems.append(str(exc))
            continue
        if booked.digest() != entry.digest:
            problems.append(f"entry {entry.key} does not match its fingerprint")
    return problems


def _wrong_balances(session: Session) -> list[str]:
    query = select(PostingRow.account, PostingRow.asset, raw_sum(PostingRow.raw)).group_by(
        col(PostingRow.account), col(PostingRow.asset)
    )
    summed = {(account, asset): int(raw) for account, asset, raw in session.exec(query)}
    kept = {(row.account, row.asset): row.raw for row in session.exec(select(BalanceRow))}
    problems = []
    for account, asset in sorted({*summed, *kept}):
        is_to_be, is_kept = summed.get((account, asset), 0), kept.get((account, asset), 0)
        if is_to_be != is_kept:
            problems.append(f"balance of {account} is {is_kept} of {asset}, its postings sum to {is_to_be}")
        if not may_hold(account, is_to_be):
            problems.append(f"{account} came to {is_to_be} of {asset}, beyond what it may hold")
    return problems


def _missing_triggers(session: Session, *, is_sqlite: bool) -> list[str]:
    tables = append_only_tables()
    if is_sqlite:
        wanted = {f"{table}_no_{change}" for table in tables for change in ("update", "delete")}
        rows = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
    else:
        wanted = {f"{table}_{kind}" for table in tables for kind in ("append_only", "no_truncate")}
        rows = session.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"))
    return [f"trigger {name} is missing" for name in sorted(wanted - {name for (name,) in rows})]
