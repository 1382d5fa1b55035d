"""Public trades by their numbers: what was traded while no line was open is asked for, and no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cex.feeds.data import Datum, PublicTrade
from cex.feeds.tape import PAGE, TradeTape
from runtime import SystemClock

LAST = 2 * PAGE + 500


def trade(number: int) -> PublicTrade:
    return PublicTrade(instrument="x", trade_id=str(number), price_ticks=1, qty_lots=1, is_buyer_maker=True)


@pytest.mark.parametrize(("has_key", "questions"), [(True, 3), (False, 1)])
async def test_trades_of_an_outage_are_asked_for_page_by_page(has_key: bool, questions: int) -> None:
    """Without a key there is one page, the newest, however often one asks."""
    told: list[Datum] = []
    asked: list[int] = []

    async def fetch(first: int) -> Sequence[PublicTrade]:
        asked.append(first)
        await asyncio.sleep(0)
        begin = first if has_key else LAST - PAGE + 1
        return [trade(number) for number in range(begin, min(begin + PAGE, LAST + 1))]

    tape = TradeTape("x", fetch, told.append, SystemClock(), hold_ns=10**9)
    tape.open(0)
    tape.take(0, trade(1), 0)
    tape.close_line(0)
    tape.open(1)
    for _ in range(50):
        await asyncio.sleep(0)
    tape.close()
    begin = 2 if has_key else LAST - PAGE + 1
    numbers = [int(datum.trade_id) for datum in told if isinstance(datum, PublicTrade)]
    assert numbers[0] == 1
    assert numbers[-1] == LAST
    assert set(range(begin, LAST + 1)) <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert len(asked) <= questions + (0 if has_key else 1)
