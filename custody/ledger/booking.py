"""Booking: entries become rows, and balances move with them, in one transaction.

The balances an entry touches are locked first, in one order for everybody, so that two who spend from one account
queue and nobody waits in a circle. Then each unit (entries that stand or fall together) is judged in memory against
what the balances have come to; what is refused leaves nothing behind and does not hold up the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session

from custody.ledger.accounts import may_hold
from custody.ledger.entries import Entry
from custody.ledger.rows import Pair, insert_entries, known_digests, lock_balances, set_balances
from domain import InvariantError, PlatformError, Refused

Unit = Sequence[Entry]
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
    known = known_digests(session, {entry.key for entry in entries})
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
        insert_entries(session, fresh, now_ns)
        set_balances(session, {pair: balances[pair] for pair in changed})
    return outcomes


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
