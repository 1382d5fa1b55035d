"""`Ledger.verify`: the books against themselves.

Every entry balances and fits the fingerprint taken when it was booked; every derived balance is the sum of its
account's postings, and none is beyond what its account may hold; the triggers that keep the tables append-only stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from custody.columns import append_only_tables
from custody.ledger.accounts import may_hold
from custody.ledger.entries import Entry, Posting
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow
from domain import InvariantError
from runtime.database import Database

_PAGE: Final = 5_000


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
    """Check all the books in one snapshot, some thousand entries at a time."""
    with database.snapshot() as session:
        walk = _Walk()
        for entries, legs in _pages(session):
            walk.over(entries, legs)
        postings = session.exec(select(func.count()).select_from(PostingRow)).one()
        if postings != walk.postings:
            walk.problems.append(f"{postings - walk.postings} postings belong to no entry")
        return Verification(
            entries=walk.entries,
            postings=postings,
            problems=(
                *walk.problems,
                *_wrong_balances(session, walk.sums),
                *_missing_triggers(session, is_sqlite=database.is_sqlite),
            ),
        )


class _Walk:
    """Goes over all entries once: judges each, and sums up what the accounts come to."""

    def __init__(self) -> None:
        self.entries = 0
        self.postings = 0
        self.sums: dict[tuple[str, str], int] = defaultdict(int)
        self.problems: list[str] = []

    def over(self, entries: Sequence[EntryRow], legs: dict[int, list[Posting]]) -> None:
        for row in entries:
            mine = legs.get(row.id or 0, [])
            self.entries += 1
            self.postings += len(mine)
            left: dict[str, int] = defaultdict(int)
            for leg in mine:
                self.sums[leg.account, leg.asset] += leg.raw
                left[leg.asset] += leg.raw
            off = {asset: raw for asset, raw in left.items() if raw}
            self.problems += [f"entry {row.key} is off by {raw} of {asset}" for asset, raw in off.items()]
            if not off and not _fits(row, mine):
                self.problems.append(f"entry {row.key} does not match its fingerprint")


def _fits(row: EntryRow, legs: Sequence[Posting]) -> bool:
    try:
        return Entry(row.key, row.kind, tuple(legs), row.strategy).digest() == row.digest
    except InvariantError:
        return False


def _pages(session: Session) -> Iterator[tuple[Sequence[EntryRow], dict[int, list[Posting]]]]:
    after = 0
    while True:
        query = select(EntryRow).where(col(EntryRow.id) > after).order_by(col(EntryRow.id)).limit(_PAGE)
        entries = session.exec(query).all()
        if not entries:
            return
        last = entries[-1].id or 0
        legs: dict[int, list[Posting]] = defaultdict(list)
        columns = select(PostingRow.entry_id, PostingRow.account, PostingRow.asset, PostingRow.raw)
        page = columns.where(col(PostingRow.entry_id) > after, col(PostingRow.entry_id) <= last)
        for number, account, asset, raw in session.exec(page.order_by(col(PostingRow.entry_id), col(PostingRow.line))):
            legs[number].append(Posting(account, asset, raw))
        yield entries, legs
        session.expunge_all()
        after = last


def _wrong_balances(session: Session, sums: dict[tuple[str, str], int]) -> list[str]:
    kept = {(row.account, row.asset): row.raw for row in session.exec(select(BalanceRow))}
    problems = []
    for account, asset in sorted({*sums, *kept}):
        is_to_be, is_kept = sums.get((account, asset), 0), kept.get((account, asset), 0)
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
