"""Booking: entries become rows, and balances move with them, in one transaction.

The balances an entry touches are locked first, in one order for everybody, so that two who spend from one account
queue and nobody waits in a circle. Then each unit (entries that stand or fall together) is judged in memory against
what the balances have come to; what is refused leaves nothing behind and does not hold up the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import bindparam, insert, text, tuple_, update
from sqlmodel import Session, col, select

from custody.ledger.accounts import may_hold
from custody.ledger.entries import Entry
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow
from domain import InvariantError, PlatformError, Refused

Pair = tuple[str, str]
"""Account and asset."""
Unit = Sequence[Entry]
_T = TypeVar("_T")
_CHUNK: Final = 400  # SQLite takes some thousand parameters in a statement.
_RAW_LIMIT: Final = 10**78


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a unit: for each entry whether it is new, or why none of them was booked."""

    booked: tuple[bool, ...] = ()
    error: PlatformError | None = None


def book(session: Session, units: Sequence[Unit], now_ns: int) -> list[Outcome]:
    """Book units in a transaction; give an outcome for each, in their order.

    Raises:
        InvariantError: An entry of the same key was booked by somebody else meanwhile; nothing of this call may stay.
    """
    entries = [entry for unit in units for entry in unit]
    balances = lock_balances(session, {(leg.account, leg.asset) for entry in entries for leg in entry.postings})
    known = _digests(session, {entry.key for entry in entries})
    fresh: list[tuple[Entry, str]] = []
    changed: set[Pair] = set()
    outcomes = []
    for unit in units:
        try:
            new, after, flags = _judge(unit, balances, known)
        except PlatformError as exc:
            outcomes.append(Outcome(error=exc))
            continue
        fresh += new
        known.update((entry.key, digest) for entry, digest in new)
        balances.update(after)
        changed.update(after)
        outcomes.append(Outcome(booked=flags))
    if fresh:
        _write(session, fresh, {pair: balances[pair] for pair in changed}, now_ns)
    return outcomes


def lock_balances(session: Session, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Give balances and hold them until the transaction ends; who else books or locks them waits."""
    wanted = sorted(pairs)
    found = _locked(session, wanted)
    if missing := [pair for pair in wanted if pair not in found]:
        session.execute(
            text(
                "INSERT INTO ledger_balances (account, asset, raw) VALUES (:account, :asset, 0) ON CONFLICT DO NOTHING"
            ),
            [{"account": account, "asset": asset} for account, asset in missing],
        )
        found |= _locked(session, missing)
    return found


def _judge(
    unit: Unit, balances: dict[Pair, int], known: dict[str, str]
) -> tuple[list[tuple[Entry, str]], dict[Pair, int], tuple[bool, ...]]:
    new: list[tuple[Entry, str]] = []
    new_digests: dict[str, str] = {}
    after: dict[Pair, int] = {}
    flags = []
    for entry in unit:
        digest = entry.digest()
        before = new_digests.get(entry.key) or known.get(entry.key)
        if before is not None:
            if before != digest:
                raise InvariantError(f"entry {entry.key} was booked before with other content")
            flags.append(False)
            continue
        touched: dict[Pair, int] = {}
        for leg in entry.postings:
            pair = (leg.account, leg.asset)
            touched[pair] = touched.get(pair, after.get(pair, balances[pair])) + leg.raw
        for (account, asset), raw in touched.items():
            if not may_hold(account, raw):
                raise Refused(
                    f"entry {entry.key}: {account} would come to {raw} of {asset}, beyond what it holds", rule="funds"
                )
            if abs(raw) >= _RAW_LIMIT:
                raise InvariantError(f"entry {entry.key}: {account} would hold more than 78 digits of {asset}")
        after |= touched
        new.append((entry, digest))
        new_digests[entry.key] = digest
        flags.append(True)
    return new, after, tuple(flags)


def _write(session: Session, fresh: Sequence[tuple[Entry, str]], after: dict[Pair, int], now_ns: int) -> None:
    rows = [
        {
            "key": entry.key,
            "kind": entry.kind,
            "strategy": entry.strategy,
            "note": entry.note,
            "digest": digest,
            "time_ns": now_ns,
            "tx_hash": entry.tx_hash,
        }
        for entry, digest in fresh
    ]
    numbers = {
        key: number
        for number, key in session.execute(insert(EntryRow).returning(col(EntryRow.id), col(EntryRow.key)), rows)
    }
    session.execute(
        insert(PostingRow),
        [
            {"entry_id": numbers[entry.key], "line": line, "account": leg.account, "asset": leg.asset, "raw": leg.raw}
            for entry, _ in fresh
            for line, leg in enumerate(entry.postings)
        ],
    )
    session.connection().execute(
        update(BalanceRow)
        .where(col(BalanceRow.account) == bindparam("of"), col(BalanceRow.asset) == bindparam("what"))
        .values(raw=bindparam("now")),
        [{"of": account, "what": asset, "now": raw} for (account, asset), raw in sorted(after.items())],
    )


def _locked(session: Session, pairs: Sequence[Pair]) -> dict[Pair, int]:
    found: dict[Pair, int] = {}
    for chunk in _chunks(pairs):
        query = (
            select(BalanceRow.account, BalanceRow.asset, BalanceRow.raw)
            .where(tuple_(col(BalanceRow.account), col(BalanceRow.asset)).in_(chunk))
            .order_by(col(BalanceRow.account), col(BalanceRow.asset))
            .with_for_update()
        )
        found.update(((account, asset), int(raw)) for account, asset, raw in session.exec(query))
    return found


def _digests(session: Session, keys: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in _chunks(sorted(keys)):
        query = select(EntryRow.key, EntryRow.digest).where(col(EntryRow.key).in_(chunk))
        found.update(dict(session.exec(query).all()))
    return found


def _chunks(items: Sequence[_T]) -> Iterable[list[_T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
