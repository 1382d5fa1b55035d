"""Booking on PostgreSQL by group commit against one commit per entry, on a server that syncs the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console

from bench.postgres import NoServer, server
from bench.rows import Row, ratio_row

_USERS = 1_000
_CALLERS = 64
_ENTRIES = 12_800
_ALONE = 400
_TARGET_PER_S = 5_000


def run() -> list[Row]:
    """Measure; takes about half a minute, two servers included."""
    console = Console(stderr=True)
    try:
        with server(syncs=False) as url:
            unsynced, _ = _measure(url)
        with server() as url:
            grouped, alone = _measure(url)
    except NoServer as exc:
        console.print(f"[yellow]skipped: {exc}[/]")
        return []
    console.print(
        f"entries/s of two postings: {grouped:,.0f} with fsync=on ({unsynced:,.0f} off), one commit each {alone:,.0f}"
    )
    common = {"topic": "custody", "ours": round(2 * grouped), "unit": "postings/s"}
    return [
        ratio_row(
            name=f"ledger: {_CALLERS} callers, PostgreSQL, fsync on",
            peer_name=f"{_TARGET_PER_S:,}/s",
            ratio=2 * grouped / _TARGET_PER_S,
            target=1,
            **common,
        ),
        ratio_row(
            name="ledger: group commit",
            peer_name=f"a commit per entry ({2 * alone:,.0f}/s)",
            ratio=grouped / alone,
            target=5,
            **common,
        ),
    ]


def _measure(url: str) -> tuple[float, float]:
    """Entries a second, of two postings each: of many callers, each waiting for its own to be durable (the best of
    three rounds), and of one that commits each alone."""
    from custody import Entry, Ledger, Posting, open_books
    from runtime.database import Database

    database = open_books(Database(url))
    ledger = Ledger(database, time.time_ns)
    opening = [
        Entry(
            f"opening/{user}",
            "opening",
            (Posting("venue/v", "v/USD", 10**9), Posting(_available(user), "v/USD", -(10**9))),
        )
        for user in range(_USERS)
    ]
    ledger.post_many(opening)

    def hold(number: int, name: str) -> Entry:
        user = number % _USERS
        legs = (Posting(_available(user), "v/USD", 7), Posting(f"user/u{user}/held", "v/USD", -7))
        return Entry(f"withdrawal/{name}-{number}/held", "withdrawal-held", legs)

    def call(first: int, name: str) -> None:
        for number in range(first, _ENTRIES, _CALLERS):
            ledger.post(hold(number, name))

    def alone() -> None:
        for number in range(_ALONE):
            with database.transaction() as session:
                ledger.post_in(session, hold(number, "alone"))

    grouped = [_ENTRIES / _seconds(lambda name=name: _together(call, name)) for name in ("warm", "a", "b", "c")]
    single = _ALONE / _seconds(alone)
    verified = ledger.verify()
    if not verified.is_sound or verified.entries != 4 * _ENTRIES + _ALONE + _USERS:
        raise RuntimeError(f"the books are not what was booked: {verified}")
    database.dispose()
    return max(grouped[1:]), single


def _together(call: Callable[[int, str], None], name: str) -> None:
    threads = [threading.Thread(target=call, args=(first, name)) for first in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _available(user: int) -> str:
    return f"user/u{user}/available"
