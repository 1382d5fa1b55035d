"""Arbitrage between exchanges: the size against brute force, both legs, and even at the end whatever fills."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.strategies.exchange_arbitrage import ExchangeArbitrageSettings, _matched
from tests.engine.markets import report
from tests.engine.strategies.desk import Desk

NAMES = ("one:ETHUSDC", "two:ETHUSDC")
BUY, SELL = Side.BUY, Side.SELL


def desk(second=(299_990, 300_010), **changes):
    given = {"instruments": NAMES, "position_max": 5, "notional_max": 3_000, "cooldown_ms": 0, **changes}
    made = Desk(ExchangeArbitrageSettings(**given), venues=("one", "two"))
    made.book(299_990, 300_010, at=0)
    made.book(*second, at=1)
    return made


def over(made, order, state=OrderState.EXPIRED):
    made.now_ns += 1_000_000
    return made.tell(report(order.client_order_id, state, made.now_ns))


def later(made, seconds=0.3):
    """Time passes; what was ordered because of it."""
    made.now_ns += round(seconds * 1e9)
    return [c for c in made.tell(e.TimerFired(time_ns=made.now_ns)) if isinstance(c, e.PlaceOrder)]


# --- sizes


LEVELS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(asks=LEVELS, bids=LEVELS, most=st.integers(1, 12))
def test_the_size_is_the_best_there_is(asks, bids, most):
    """Against every whole quantity: none earns more, and none that is smaller earns as much."""
    asks, bids = dict(sorted(asks)), dict(sorted(bids, reverse=True))
    cost, margin = 1.01, 0.985

    def value(levels, quantity):
        total = 0.0
        for price, size in levels.items():
            total, quantity = total + price * min(size, quantity), quantity - min(size, quantity)
        return total

    pieces = _matched(
        [(float(p), float(q), p) for p, q in asks.items()],
        [(float(p), float(q), p) for p, q in bids.items()],
        cost,
        margin,
        float(most),
    )
    quantity = round(sum(piece[0] for piece in pieces))
    deepest = min(most, sum(asks.values()), sum(bids.values()))
    worth = [margin * value(bids, q) - cost * value(asks, q) for q in range(deepest + 1)]
    assert worth[quantity] == pytest.approx(max(worth), abs=1e-9)


def test_both_legs_go_out_at_once_for_what_pays():
    made = desk()
    # Two bids pay 4 bps on either side and 1 bps of profit, the third does not.
    made.tell(
        e.BookChanged(
            time_ns=made.now_ns + 10**7,
            instrument=NAMES[1],
            bids=((300_400, 300), (300_380, 200), (300_270, 9_000)),
            asks=((300_420, 1_000),),
            update_id=2,
            received_ns=made.now_ns + 10**7,
        )
    )
    buy, sell = made.placed()
    assert (buy.instrument, buy.side, buy.price_ticks, buy.qty_lots) == (NAMES[0], BUY, 300_010, 500)
    assert (sell.instrument, sell.side, sell.price_ticks, sell.qty_lots) == (NAMES[1], SELL, 300_380, 500)
    assert {buy.time_in_force, sell.time_in_force} == {"ioc"}


def test_fees_and_the_least_profit_keep_it_still():
    # The touch crosses by 7 bps: fees are 8.
    assert not desk().book(300_220, 300_240, at=1)
    assert desk().book(300_320, 300_340, at=1)
    assert not desk(profit_min=2).book(300_320, 300_340, at=1)


def test_notional_and_position_bound_it():
    made = desk(notional_max=600, profit_min=0)
    made.book(300_500, 300_520, at=1)
    assert {order.qty_lots for order in made.placed()} == {199}
    made = desk(position_max="0.05", profit_min=0)
    made.book(300_500, 300_520, at=1)
    assert {order.qty_lots for order in made.placed()} == {50}


@pytest.mark.parametrize(
    ("derivatives", "lots"), [((), 999_566), (NAMES[:1], 1_000_000), (NAMES[1:], 999_566), (NAMES, 1_200_000)]
)
def test_what_is_not_held_is_neither_sold_nor_paid_with(derivatives, lots):
    # 1,000 ETH and 3,000,000 USDC are held at each; 1,200 ETH are wanted.
    limits = dict.fromkeys(("order_notional_max", "position_notional_max", "exposure_notional_max"), 10**9)
    given = {"instruments": NAMES, "position_max": 1_200, "notional_max": 10**8, "derivatives": derivatives}
    made = Desk(ExchangeArbitrageSettings(**given), venues=("one", "two"), **limits)
    made.book(299_990, 300_010, at=0, lots=2_000_000)
    made.book(300_500, 300_520, at=1, lots=2_000_000)
    assert {order.qty_lots for order in made.placed()} == {lots}


def test_positions_away_from_flat_ask_for_more_and_coming_back_for_less():
    made = desk(inventory_bps=10, position_max="0.5", notional_max=1_500, profit_min=0)
    buy, sell = made.book(300_500, 300_520, at=1)[:2]
    for order in (buy, sell):
        made.fill(order, order.qty_lots)
        over(made, order, OrderState.FILLED)
    assert not later(made)
    # Fees of 8 bps and 1 of profit, less 10 for coming back: at a touch that crosses by nothing it is not yet worth it.
    made.book(300_020, 300_040, at=1)
    assert not made.placed()
    made.book(299_970, 299_990, at=1)
    assert [(o.instrument, o.side) for o in made.placed()] == [(NAMES[1], BUY), (NAMES[0], SELL)]


def test_a_standing_difference_is_no_edge_when_the_basis_is_followed():
    made = desk((300_490, 300_510), basis_halflife_s=60)
    for second in range(100):
        made.book(299_990 + second % 3, 300_010 + second % 3, at=0)
        first = made.book(300_490, 300_510, at=1)
        if second > 90:
            assert not [c for c in first if isinstance(c, e.PlaceOrder)]
    assert [o.side for o in made.book(300_990, 301_010, at=1, after_s=0.1) if isinstance(o, e.PlaceOrder)] == [
        BUY,
        SELL,
    ]


# --- legs


def test_a_leg_that_did_not_fill_is_made_up_where_it_costs_least():
    # The other exchange is still dear: the missing leg is sent again there, not the first one back.
    made = desk()
    buy, sell = made.book(300_500, 300_520, at=1)[:2]
    made.fill(buy, buy.qty_lots)
    over(made, buy, OrderState.FILLED)
    over(made, sell)
    (again,) = later(made)
    assert (again.instrument, again.side, again.qty_lots) == (NAMES[1], SELL, buy.qty_lots)
    # Its price is gone: back where the first leg was.
    over(made, again)
    made.book(299_000, 299_020, at=1)
    (back,) = made.placed() or later(made)
    assert (back.instrument, back.side, back.qty_lots) == (NAMES[0], SELL, buy.qty_lots)
    made.fill(back, back.qty_lots)
    made.book(299_990, 300_010, at=1, after_s=0)
    over(made, back, OrderState.FILLED)
    assert not later(made)
    assert made.strategy.is_idle
    assert not made.kernel.orders.open_orders("s")


def test_one_by_one_begins_where_less_is_shown():
    made = desk(legs="one-by-one")
    made.book(300_500, 300_520, at=1, lots=700)
    (first,) = made.placed()
    assert (first.instrument, first.side) == (NAMES[1], SELL)
    made.fill(first, 400)
    over(made, first)
    (second,) = later(made)
    assert (second.instrument, second.side, second.qty_lots) == (NAMES[0], BUY, 400)


@pytest.mark.parametrize("seed", range(12))
def test_it_ends_even_whatever_fills(seed):
    """Orders fill in part, late or not at all, prices jump: once the market is calm the positions cancel out."""
    draw, made = random.Random(seed), desk(legs=("together", "one-by-one")[seed % 2])
    net = 0
    waiting: list = []
    for step in range(150):
        wild = step < 100
        jump = draw.randint(-600, 600) if wild else 0
        made.book(299_990 + jump, 300_010 + jump, at=draw.randint(0, 1) if wild else step % 2, after_s=0.1)
        waiting += made.placed()
        while waiting:
            order = waiting.pop(draw.randrange(len(waiting)))
            lots = draw.randint(0, order.qty_lots) if wild else order.qty_lots
            sign = 1 if order.side is BUY else -1
            late = lots and draw.random() < 0.2
            if lots and not late:
                made.fill(order, lots)
                waiting += made.placed()
            over(made, order, OrderState.FILLED if lots == order.qty_lots else OrderState.EXPIRED)
            waiting += made.placed()
            if late:
                made.fill(order, lots)
                waiting += made.placed()
            net += sign * lots
        waiting += later(made, 0.05)
    assert net == 0
    assert made.strategy.is_idle


def test_state_of_a_trade_in_flight_is_taken_up():
    made = desk()
    made.book(300_500, 300_520, at=1)
    state = made.strategy.state()
    other = desk()
    other.strategy.restore(state)
    assert other.strategy.state() == state
    assert not other.strategy.is_idle


def test_stopping_opens_nothing_new():
    made = desk()
    made.stop()
    assert not [c for c in made.book(300_500, 300_520, at=1) if isinstance(c, e.PlaceOrder)]


def test_settings_that_cannot_be():
    for wrong in ({"instruments": (NAMES[0],) * 2}, {"derivatives": ("x:Y",)}, {"instruments": NAMES[:1]}):
        with pytest.raises(ValidationError):
            ExchangeArbitrageSettings(**{"instruments": NAMES, "position_max": 1, **wrong})
