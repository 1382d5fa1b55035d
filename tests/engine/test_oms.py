"""An order's life as venues really tell it: late, twice, contradicting themselves, or not at all."""

from __future__ import annotations

import pytest

from domain import InvariantError, Order, OrderState, OrderType, Side, TimeInForce
from domain import events as e
from tests.engine.markets import ETHUSDC, SECOND, fill, report
from tests.reference.python_oms import ASK_AFTER_NS, OrderManager

ENDS = (OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED)


def manager(tif: TimeInForce = TimeInForce.GTC, qty_lots: int = 100) -> tuple[OrderManager, Order]:
    orders = OrderManager("t")
    command = e.PlaceOrder(
        client_order_id=orders.next_id("s"),
        strategy="s",
        instrument=ETHUSDC.id,
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=tif,
        price_ticks=300_010,
        qty_lots=qty_lots,
    )
    return orders, orders.add(command, SECOND)


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", list(OrderState))
def test_first_end_stands_whatever_is_told_afterwards(first, second):
    orders, order = manager()
    if first is OrderState.FILLED:
        orders.fill(fill(order.client_order_id, 100).fill)
    else:
        orders.report(report(order.client_order_id, first))
    assert orders.report(report(order.client_order_id, second)) is None
    assert order.state is first
    assert orders.open_orders() == []


@pytest.mark.parametrize("end", [OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED])
@pytest.mark.parametrize("lots", [40, 100])
def test_trade_told_after_the_end_counts(end, lots):
    orders, order = manager()
    orders.report(report(order.client_order_id, end))
    assert orders.fill(fill(order.client_order_id, lots).fill) is order
    assert order.filled_lots == lots
    assert order.state is (OrderState.FILLED if lots == 100 else end)
    assert orders.open_orders() == []


def test_more_trades_than_the_order_is_worth_stop_the_component():
    orders, order = manager()
    orders.fill(fill(order.client_order_id, 100).fill)
    with pytest.raises(InvariantError, match="exceeds"):
        orders.fill(fill(order.client_order_id, 1, trade_id="2").fill)


def test_unknown_outcome_is_asked_at_once_and_again_until_the_venue_answers():
    orders, order = manager()
    orders.report(report(order.client_order_id, OrderState.UNKNOWN))
    asked = [bool(list(orders.overdue(t * SECOND))) for t in range(101, 109)]
    assert asked == [True, False, False, True, False, False, True, False]
    orders.report(report(order.client_order_id, OrderState.REJECTED))
    assert list(orders.overdue(200 * SECOND)) == []


def test_resting_order_is_left_alone_and_an_immediate_one_without_end_is_asked_about():
    for tif, is_asked in ((TimeInForce.GTC, False), (TimeInForce.IOC, True)):
        orders, order = manager(tif)
        orders.report(report(order.client_order_id, OrderState.ACCEPTED))
        assert list(orders.overdue(SECOND + ASK_AFTER_NS - 1)) == []
        assert bool(list(orders.overdue(SECOND + ASK_AFTER_NS))) is is_asked


def test_end_that_waits_for_trades_is_asked_about():
    orders, order = manager()
    orders.report(report(order.client_order_id, OrderState.CANCELED, filled_lots=40))
    assert order.state.is_open
    assert [o.client_order_id for o in orders.overdue(10 * SECOND)] == [order.client_order_id]
    orders.fill(fill(order.client_order_id, 40).fill)
    assert order.state is OrderState.CANCELED


def test_venue_that_forgot_an_accepted_order_ends_it():
    orders, order = manager()
    orders.report(report(order.client_order_id, OrderState.ACCEPTED))
    orders.report(report(order.client_order_id, OrderState.REJECTED))
    assert order.state is OrderState.CANCELED
