"""Trades of an outage: fetched, each once, and said to be missing when they are not to be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from cex.feeds.backfill import TradeGuard
from cex.feeds.data import Book, BookLost, Datum, PublicTrade, TradesMissing
from domain import VenueUnavailable

BOOK = Book(instrument="x", bids=(), asks=(), sequence=1)
LOST = BookLost(instrument="x", reason="gone")


def trade(number: int) -> PublicTrade:
    return PublicTrade(
        instrument="x", venue_ns=number * 10, trade_id=str(number), price_ticks=1, qty_lots=number, is_buyer_maker=True
    )


def guarded(
    before: Sequence[int],
    after: Sequence[int],
    fetch: Callable[[int], Sequence[PublicTrade]],
    questions_max: int = 1,
) -> tuple[list[int], int]:
    """Let trades come, the book be lost and return, and others come; give what was told and how often some missed."""
    told: list[Datum] = []
    asked = 0

    async def ask(since_ns: int) -> Sequence[PublicTrade]:
        nonlocal asked
        asked += 1
        return fetch(since_ns)

    async def run() -> None:
        guard = TradeGuard("x", ask, told.append)
        filling = asyncio.create_task(guard.run())
        for number in before:
            guard.take(trade(number))
        guard.take(LOST)
        guard.take(BOOK)
        for number in after:
            guard.take(trade(number))
        for _ in range(10 + questions_max):
            await asyncio.sleep(0)
        filling.cancel()
        with suppress(asyncio.CancelledError):
            await filling

    asyncio.run(run())
    assert asked <= questions_max
    numbers = [int(datum.trade_id) for datum in told if isinstance(datum, PublicTrade)]
    return numbers, sum(isinstance(datum, TradesMissing) for datum in told)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20))
def test_each_is_told_once(before: int, during: int, after: int) -> None:
    every = list(range(1, before + during + after + 1))
    seen, late = every[:before], every[before + during :]
    told, missing = guarded(seen, late, lambda since_ns: [trade(n) for n in every if n * 10 >= since_ns])
    assert sorted(told) == every
    assert told[:before] == seen
    assert missing == 0


def test_more_than_a_page_is_asked_for_page_by_page() -> None:
    """A venue that gives 60 from an instant on, whatever it was asked for, and three times as many traded."""
    every = list(range(1, 200))

    def fetch(since_ns: int) -> Sequence[PublicTrade]:
        return [trade(n) for n in every if n * 10 >= since_ns][:60]

    told, missing = guarded(every[:5], every[190:], fetch, questions_max=4)
    assert sorted(told) == every
    assert missing == 0


def test_venue_that_tells_the_newest_only_is_asked_no_more_than_it_helps() -> None:
    told, missing = guarded([1, 2, 3], [], lambda _since: [trade(n) for n in range(1, 101)], questions_max=2)
    assert (sorted(told), missing) == (list(range(1, 101)), 0)


def test_trades_under_other_ids_are_not_counted_twice() -> None:
    """REST that does not know the last trade is not believed."""
    told, missing = guarded([1, 2, 3], [], lambda _since: [trade(n) for n in (101, 102, 103)])
    assert (told, missing) == ([1, 2, 3], 1)


def test_trades_of_a_venue_whose_rest_tells_none_are_missing() -> None:
    assert guarded([1, 2, 3], [4], lambda _since: []) == ([1, 2, 3, 4], 1)


def test_nothing_is_asked_before_the_first_trade() -> None:
    def fail(_since: int) -> Sequence[PublicTrade]:
        raise VenueUnavailable("must not be asked")

    assert guarded([], [], fail) == ([], 0)
