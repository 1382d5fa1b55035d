"""Statistical arbitrage: what it opens and when, on pairs that belong together and on strangers; legs, stops, state."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.strategies.statistical_arbitrage import StatisticalArbitrageSettings
from tests.engine.markets import report
from tests.engine.strategies.desk import Desk

Y, X = "one:ETHUSDC", "two:ETHUSDC"
GIVEN = {
    "y": Y, "x": X, "sample_s": 1, "window": 60, "test_every": 5, "notional": 300, "hedge": "window", "legs_s": 5,
}  # fmt: skip


def pair(seed, n, phi=0.6):
    """Ticks of two prices: y twice as lively as x, a returning distance of some 50 bps between them."""
    draw = np.random.default_rng(seed)
    x, distance = np.cumsum(draw.normal(scale=0.003, size=n)), np.zeros(n)
    for at in range(1, n):
        distance[at] = phi * distance[at - 1] + draw.normal(scale=0.004)
    return prices(2.0 * x + distance), prices(x)


def prices(logs):
    return np.rint(300_000 * np.exp(logs)).astype(int).tolist()


class Pair:
    """The strategy on two markets, one sample a second; its orders trade at once unless told not to."""

    def __init__(self, **changes):
        self.desk = Desk(StatisticalArbitrageSettings(**{**GIVEN, **changes}), venues=("one", "two"))
        self.orders: list[e.PlaceOrder] = []
        self.signed = {Y: 0, X: 0}
        self.cash = 0.0
        self.answers = True

    def sample(self, y, x, half=5, after_s=0.5):
        made = len(self.orders)
        for at, mid in ((1, x), (0, y)):
            self.desk.book(mid - half, mid + half, at=at, after_s=after_s)
            self._trade(self.desk.placed())
        return self.orders[made:]

    def _trade(self, orders):
        for order in orders:
            self.orders.append(order)
            done = order.qty_lots if self.answers is True or order.instrument in (self.answers or ()) else 0
            if done:
                self.desk.fill(order, done)
                follow = self.desk.placed()
                sign = 1 if order.side is Side.BUY else -1
                self.signed[order.instrument] += sign * done
                self.cash -= sign * done * order.price_ticks * 1e-5 + done * order.price_ticks * 1e-5 * 4e-4
                self._trade(follow)
            self.desk.now_ns += 1_000
            self.desk.tell(
                report(order.client_order_id, OrderState.FILLED if done else OrderState.EXPIRED, self.desk.now_ns)
            )
            self._trade(self.desk.placed())

    def worth(self, y, x):
        return self.cash + (self.signed[Y] * y + self.signed[X] * x) * 1e-5


def played(made, ys, xs):
    for y, x in zip(ys, xs, strict=True):
        made.sample(y, x)
    return made


@pytest.mark.parametrize("hedge", ["window", "kalman"])
def test_it_trades_a_pair_that_returns_and_earns_by_it(hedge):
    ys, xs = pair(3, 600)
    made = played(Pair(hedge=hedge, memory=50), ys, xs)
    assert len(made.orders) > 20
    assert made.worth(ys[-1], xs[-1]) > 1
    # Every opening is a purchase and a sale, and twice as much x as y is held against it.
    first, second = made.orders[:2]
    assert {first.side, second.side} == {Side.BUY, Side.SELL}
    assert {first.instrument, second.instrument} == {Y, X}
    lots = {order.instrument: order.qty_lots for order in (first, second)}
    assert lots[X] / lots[Y] == pytest.approx(2.0, rel=0.25)


def test_strangers_are_left_alone_unless_the_test_is_off():
    draw = np.random.default_rng(5)
    ys, xs = (prices(np.cumsum(draw.normal(scale=0.003, size=200))) for _ in range(2))
    assert len(played(Pair(level="1%", test_every=50), ys, xs).orders) == 0
    assert played(Pair(level="off", test_every=50, ratio_max=50), ys, xs).orders


def warm(**changes):
    """A pair that is cointegrated with a ratio of about one and at rest; returns it and the last prices."""
    draw = np.random.default_rng(11)
    x = np.cumsum(draw.normal(scale=0.003, size=60))
    ys, xs = prices(x + draw.normal(scale=0.002, size=60)), prices(x)
    # `test_every` beyond what is played: after the first test the line stays as it is.
    made = Pair(**{"test_every": 1, "enter": 3, "stop": 6, **changes})
    played(made, ys[:-1], xs[:-1])
    made.sample(xs[-1], xs[-1])
    made.desk.strategy.settings = made.desk.strategy.settings.model_copy(update={"test_every": 10**9})
    assert not made.orders
    return made, xs[-1]


@pytest.mark.parametrize("first", [0, 1])
def test_it_is_tested_though_only_every_second_sample_comes(first):
    run, (ys, xs) = Pair(level="off", test_every=2, sample_s="0.25"), pair(3, 200)
    run.desk.now_ns += first * 250_000_000
    for y, x in zip(ys, xs, strict=True):
        run.sample(y, x)
    assert run.orders


def test_dear_is_sold_cheap_is_bought_and_both_are_closed_on_return():
    for move, side in ((1.008, Side.SELL), (0.992, Side.BUY)):
        made, x = warm()
        opened = made.sample(round(x * move), x)
        assert {(o.instrument, o.side) for o in opened} == {(Y, side), (X, Side.SELL if side is Side.BUY else Side.BUY)}
        assert not made.sample(round(x * move), x)
        closed = made.sample(x, x)
        assert len(closed) == 2
        assert made.signed == {Y: 0, X: 0}
        assert made.desk.strategy.is_idle


def test_beyond_the_stop_it_is_out_and_does_not_go_back_in_before_it_was_usual():
    made, x = warm()
    assert made.sample(round(x * 1.008), x)
    assert len(made.sample(round(x * 1.02), x)) == 2
    assert made.signed == {Y: 0, X: 0}
    assert not made.sample(round(x * 1.008), x)
    made.sample(x, x)
    assert made.sample(round(x * 1.008), x)


def test_time_is_up():
    made, x = warm(hold_max=3)
    assert made.sample(round(x * 1.008), x)
    orders = [made.sample(round(x * 1.008), x) for _ in range(3)]
    assert [bool(found) for found in orders] == [False, False, True]


def test_what_does_not_pay_its_costs_is_left():
    made, x = warm(profit_min_bps=100)
    assert not made.sample(round(x * 1.008), x)
    # A spread as wide as the distance costs as much as it brings.
    made, x = warm()
    assert not made.sample(round(x * 1.008), x, half=900)


def test_slow_returns_and_unlikely_ratios_are_left():
    made, x = warm(ratio_max="0.1")
    assert not made.sample(round(x * 1.008), x)
    made, x = warm(halflife_max=1)
    made.desk.strategy._halflife = 9.0
    assert not made.sample(round(x * 1.008), x)


def test_one_leg_that_does_not_trade_makes_the_other_be_given_up():
    made, x = warm()
    made.answers = (Y,)
    made.sample(round(x * 1.008), x)
    assert made.signed[Y] < 0 == made.signed[X]
    for _ in range(8):
        made.sample(round(x * 1.008), x)
    assert made.signed == {Y: 0, X: 0}


def test_stopping_closes_and_a_restart_goes_on_as_if_nothing_was():
    ys, xs = pair(3, 160)
    whole, first = played(Pair(hedge="kalman", memory=30), ys, xs), Pair(hedge="kalman", memory=30)
    played(first, ys[:100], xs[:100])
    state = first.desk.strategy.state()
    for name in first.desk.strategy.saved:
        setattr(first.desk.strategy, name, None)
    first.desk.strategy.restore(state)
    played(first, ys[100:], xs[100:])
    assert [(o.instrument, o.side, o.qty_lots, o.price_ticks) for o in first.orders] == [
        (o.instrument, o.side, o.qty_lots, o.price_ticks) for o in whole.orders
    ]
    made, x = warm()
    made.sample(round(x * 1.008), x)
    made._trade([c for c in made.desk.stop() if isinstance(c, e.PlaceOrder)])
    made.sample(round(x * 1.008), x)
    assert made.signed == {Y: 0, X: 0}


def test_settings_that_cannot_be():
    for wrong in ({"enter": 5}, {"leave": 2}, {"x": Y}):
        with pytest.raises(ValidationError):
            StatisticalArbitrageSettings(**{**GIVEN, **wrong})
