"""Order-book imbalance: what it takes on which book, one order at a time, and what it costs in a market."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from domain import Side
from domain import events as e
from engine.strategies.order_book_imbalance import OrderBookImbalance, OrderBookImbalanceSettings
from tests.engine.sdk.runs import BTC, market, records, run
from tests.engine.strategies.desk import SECOND, Desk

BASE = {"instrument": "one:ETHUSDC", "qty": "0.1", "position_max": "0.15", "depth": 2}


def desk(**settings):
    return Desk(OrderBookImbalanceSettings(**{**BASE, **settings}))


def tell(made, bids, asks):
    """A book of sizes, best first, around 3,000.00."""
    made.now_ns += SECOND
    made.tell(
        e.BookChanged(
            time_ns=made.now_ns, instrument="one:ETHUSDC", update_id=1, received_ns=made.now_ns,
            bids=tuple((299_990 - at, lots) for at, lots in enumerate(bids)),
            asks=tuple((300_010 + at, lots) for at, lots in enumerate(asks)),
        )
    )  # fmt: skip
    return [(o.side, o.price_ticks, o.qty_lots, o.time_in_force) for o in made.placed()]


@pytest.mark.parametrize(
    ("bids", "asks", "orders"),
    [
        # (80 - 20) / 100 = 0.6 enters; the third level is not looked at.
        ((50, 30, 1), (10, 10, 900), [(Side.BUY, 300_010, 100, "ioc")]),
        ((10, 10), (50, 30), [(Side.SELL, 299_990, 100, "ioc")]),
        ((50, 29), (10, 10), []),
        ((50, 50), (50, 50), []),
    ],
)
def test_it_takes_the_touch_on_the_heavier_side(bids, asks, orders):
    assert tell(desk(), bids, asks) == orders


def test_position_grows_by_orders_up_to_its_bound_and_closes_when_level():
    made = desk()
    for lots in (100, 50):
        ((side, _, size, _),) = tell(made, (90, 0), (10, 0))
        assert (side, size) == (Side.BUY, lots)
        made.fill(next(iter(made.kernel.orders.open_orders("s"))))
    assert tell(made, (90, 0), (10, 0)) == []
    assert tell(made, (70, 0), (30, 0)) == []  # 0.4: neither.
    assert tell(made, (52, 0), (48, 0)) == [(Side.SELL, 299_990, 100, "ioc")]


def test_one_order_is_out_at_a_time():
    made = desk()
    assert len(tell(made, (90, 0), (10, 0))) == 1
    assert tell(made, (90, 0), (10, 0)) == []


def test_stale_books_and_stops_start_nothing():
    made = desk()
    assert made.lose_book() == []
    made.stop()
    assert tell(made, (90, 0), (10, 0)) == []


def test_bounds_that_overlap_are_refused():
    with pytest.raises(ValidationError, match="is not below enter"):
        desk(leave="0.6")


def test_it_trades_in_a_market_and_stays_within_its_bound():
    settings = OrderBookImbalanceSettings(instrument=BTC.name, qty="0.01", position_max="0.03")
    made = run(OrderBookImbalance(settings), market(seconds=30))
    fills, commands = records(made)
    assert len(fills) > 20
    position = 0
    for fill in fills:
        position += int(fill["size"]) * (1 if fill["side"] == 0 else -1)
        assert abs(position) <= 30
    assert made.standing(0, 0) == (position, 0)
    assert set(commands["order_type"][commands["kind"] == 1].tolist()) == {0}
