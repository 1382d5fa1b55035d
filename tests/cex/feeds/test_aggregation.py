"""Aggregates are the exchange's own, and nothing is lost in them."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cex import CcxtVenue
from cex.feeds.aggregation import Aggregator
from cex.feeds.data import Datum, PublicTrade
from domain import Side
from runtime import SystemClock
from tests.cex.lab import sandbox_lab
from tests.support.exchange_conformance import ASK, LOTS

TRADES = st.lists(
    st.builds(
        PublicTrade,
        instrument=st.just("x"),
        venue_ns=st.integers(1, 3),
        trade_id=st.just("1"),
        price_ticks=st.integers(1, 2),
        qty_lots=st.integers(1, 9),
        is_buyer_maker=st.booleans(),
    ),
    max_size=30,
)


def aggregated(trades: list[PublicTrade]) -> list[PublicTrade]:
    aggregator = Aggregator()
    told = [aggregator.take(trade) for trade in trades] + [aggregator.end()]
    return [trade for trade in told if trade is not None]


@given(TRADES)
def test_nothing_is_lost_and_neighbours_differ(trades: list[PublicTrade]) -> None:
    told = aggregated(trades)
    assert sum(trade.qty_lots for trade in told) == sum(trade.qty_lots for trade in trades)
    keys = [(trade.venue_ns, trade.price_ticks, trade.is_buyer_maker) for trade in told]
    assert all(before != after for before, after in pairwise(keys))


async def test_aggregates_equal_the_exchanges() -> None:
    """A taker that meets three makers at two prices."""
    data: list[Datum] = []
    async with sandbox_lab() as lab:
        venue = CcxtVenue(lab.settings(api_key=None, secret=None), clock=SystemClock())
        venue.on_data = data.append
        await venue.start(lambda _event: None)
        for price in (ASK, ASK, ASK + 1):
            await lab.counter(Side.SELL, price, LOTS)
        quantity = str(Decimal(3 * LOTS) / 10_000)
        await lab.ours.call("POST", "order", symbol="ETHUSDC", side="BUY", type="MARKET", quantity=quantity)
        while len([datum for datum in data if isinstance(datum, PublicTrade)]) < 3:
            await lab.round_trip()
        async with lab._session.get(f"{lab.base_url}/api/v3/aggTrades?symbol=ETHUSDC") as response:
            theirs = await response.json()
        await venue.stop()
    ours = aggregated([datum for datum in data if isinstance(datum, PublicTrade)])
    assert [(trade.price_ticks, trade.qty_lots, trade.venue_ns // 10**6) for trade in ours] == [
        (Decimal(row["p"]) * 100, Decimal(row["q"]) * 10_000, row["T"]) for row in theirs
    ]
