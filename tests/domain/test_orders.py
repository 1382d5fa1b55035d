"""The order's table: nothing happens outside it, trades count once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import Fill, InvariantError, Order, OrderState, OrderType, Side, TimeInForce
from domain.orders import TRANSITIONS


def order(state=OrderState.PENDING, lots=10):
    return Order("c", "s", "v:X", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100, lots, state=state)


def fill(trade_id, lots):
    return Fill(
        venue="v",
        symbol="X",
        trade_id=trade_id,
        client_order_id="c",
        venue_order_id="1",
        side=Side.BUY,
        price_ticks=100,
        qty_lots=lots,
        quote_raw=1,
        fee_asset="X",
        fee_raw=0,
        is_maker=False,
        venue_time_ns=0,
    )


def test_every_state_has_a_row():
    assert set(TRANSITIONS) == set(OrderState)


@given(st.lists(st.sampled_from([s for s in OrderState if s is not OrderState.DENIED]), max_size=8))
def test_reports_only_move_along_the_table(reports):
    o = order()
    for state in reports:
        before = o.state
        try:
            moved = o.move_to(state)
        except InvariantError:
            assert o.state is before
            continue
        assert o.state is (state if moved else before)
        assert not moved or state in TRANSITIONS[before]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), max_size=12))
def test_filled_is_the_sum_of_distinct_trades_and_never_exceeds_the_size(trades):
    o, seen = order(), {}
    for number, lots in trades:
        try:
            if o.apply_fill(fill(str(number), lots)):
                seen[number] = lots
        except InvariantError:
            assert sum(seen.values()) + lots > 10
    assert o.filled_lots == sum(seen.values()) <= 10
    assert (o.state is OrderState.FILLED) == (o.filled_lots == 10)


def test_late_acknowledgement_after_a_fill_is_ignored():
    o = order()
    o.apply_fill(fill("1", 4))
    assert not o.move_to(OrderState.ACCEPTED)
    assert o.state is OrderState.PARTIALLY_FILLED


def test_accepted_cannot_become_rejected():
    with pytest.raises(InvariantError):
        order(OrderState.ACCEPTED).move_to(OrderState.REJECTED)
