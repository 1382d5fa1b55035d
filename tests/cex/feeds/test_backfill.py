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
    before: Sequence[int], after: Sequence[int], fetch: Callable[[int], Sequence[PublicTrade]]
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
        for _ in range(10):
            await asyncio.sleep(0)
        filling.cancel()
        with suppress(asyncio.CancelledError):
            await filling

    asyncio.run(run())
    assert asked <= 1
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


def test_trades_under_other_ids_are_not_counted_twice() -> None:
    """REST that does not know the last trade is not believed."""
    told, missing = guarded([1, 2, 3], [], lambda _since: [trade(n) for n in (101, 102, 103)])
    assert (told, missing) == ([1, 2, 3], 1)


def test_nothing_is_asked_before_the_first_trade() -> None:
    def fail(_since: int) -> Sequence[PublicTrade]:
        raise VenueUnavailable("must not be asked")

    assert guarded([], [], fail) == ([], 0)
