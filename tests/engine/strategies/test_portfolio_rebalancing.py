"""Rebalancing: bands, edges, calendars, costs; sales before purchases; cash that never runs short; true accounts."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.strategies.portfolio_rebalancing import PortfolioRebalancingSettings
from tests.engine.markets import report
from tests.engine.strategies.desk import Desk

A, B = "one:ETHUSDC", "two:ETHUSDC"
GIVEN = {"weights": {A: "0.5", B: "0.3"}, "cash": 10_000, "look_s": 1, "trade_min": 0, "patience_s": 100}


class Portfolio:
    """The strategy on two markets; its orders trade at once, at 4 bps in quote."""

    def __init__(self, prices=(3_000, 3_000), **changes):
        self.desk = Desk(PortfolioRebalancingSettings(**{**GIVEN, **changes}), venues=("one", "two"))
        self.strategy = self.desk.strategy
        self.sides: list[Side] = []
        self.prices = prices
        self.signed = {A: 0, B: 0}

    def at(self, *prices, half=5, trades=True):
        """Prices in quote units; what is ordered because of them."""
        self.prices, before = prices or self.prices, len(self.sides)
        for _ in range(3):
            for place, price in enumerate(self.prices):
                mid = round(price * 100)
                self.desk.book(mid - half, mid + half, at=place, after_s=0.6)
                self._trade(self.desk.placed(), trades)
        return self.sides[before:]

    def _trade(self, orders, trades):
        for order in orders:
            self.sides.append(order.side)
            self.desk.now_ns += 1_000
            if trades:
                self.signed[order.instrument] += order.qty_lots * (1 if order.side is Side.BUY else -1)
                self.desk.fill(order, order.qty_lots)
                follow = self.desk.placed()
            else:
                follow = []
            state = OrderState.FILLED if trades else OrderState.EXPIRED
            self.desk.tell(report(order.client_order_id, state, self.desk.now_ns))
            self._trade(follow + self.desk.placed(), trades)

    def weights(self):
        worth = [lots * 0.001 * price for lots, price in zip(self.signed.values(), self.prices, strict=True)]
        value = self.strategy.cash() + sum(worth)
        return [one / value for one in worth]


def test_cash_is_put_to_work_and_the_weights_are_there():
    made = Portfolio()
    assert made.at() == [Side.BUY, Side.BUY]
    assert made.weights() == pytest.approx([0.5, 0.3], abs=0.001)
    assert made.strategy.cash() == pytest.approx(10_000 * 0.2, abs=10)
    assert made.strategy.is_idle


def test_within_its_band_nothing_is_done_beyond_it_goes_back_to_the_target():
    made = Portfolio(band="0.05")
    made.at()
    assert not made.at(3_300, 3_000)
    assert made.at(4_200, 3_000)[0] is Side.SELL
    assert made.weights() == pytest.approx([0.5, 0.3], abs=0.002)


def test_to_the_edge_trades_less():
    made = Portfolio(band="0.05", to="edge")
    made.at()
    assert made.weights() == pytest.approx([0.45, 0.25], abs=0.001)
    made.at(6_000, 3_000)
    assert made.weights()[0] == pytest.approx(0.55, abs=0.002)


def test_a_relative_band_is_that_share_of_each_target():
    made = Portfolio(band="0.05", band_relative="0.02")
    made.at()
    assert made.at(3_200, 3_000)


def test_sales_come_first_and_purchases_when_they_are_through():
    made = Portfolio(band="0.02")
    made.at()
    sides = made.at(4_000, 2_000)
    assert sides[0] is Side.SELL
    assert Side.BUY in sides
    # A sale that does not trade keeps the purchase waiting.
    made = Portfolio(band="0.02")
    made.at()
    assert set(made.at(4_000, 2_000, trades=False)) == {Side.SELL}


def test_a_calendar_brings_it_back_whatever_the_drift():
    made = Portfolio(band=1, every_s=60)
    made.at()
    assert not made.at(3_300, 3_000)
    made.desk.now_ns += 60 * 10**9
    assert made.at(3_300, 3_000)
    assert made.weights() == pytest.approx([0.5, 0.3], abs=0.002)


def test_what_costs_too_much_or_is_too_small_waits():
    assert not Portfolio(cost_max_bps=3).at()
    assert not Portfolio().at(half=2_000)
    assert not Portfolio(trade_min=6_000).at()


def test_holdings_it_began_with_count_and_a_weight_of_nothing_sells_them():
    made = Portfolio(weights={A: 0, B: "0.5"}, cash=0, holdings={A: 2})
    sides = made.at()
    assert sides[:1] == [Side.SELL]
    assert made.signed[A] == -2_000
    assert made.signed[B] == pytest.approx(1_000, abs=3)


@pytest.mark.parametrize("seed", range(5))
def test_cash_never_runs_short_and_the_account_is_exact(seed):
    draw, made = random.Random(seed), Portfolio(weights={A: "0.6", B: "0.4"}, band="0.02")
    spent = 0.0
    fill = made.desk.fill

    def counted(order, lots=None, price=None):
        nonlocal spent
        sign = 1 if order.side is Side.BUY else -1
        value = order.price_ticks * 0.01 * (lots or 0) * 0.001
        spent += sign * value + value * 4e-4
        return fill(order, lots, price)

    made.desk.fill = counted
    for _ in range(25):
        made.at(*(price * draw.uniform(0.85, 1.18) for price in made.prices))
        assert made.strategy.cash() >= 0
    assert made.strategy.cash() == pytest.approx(10_000 - spent, abs=1e-3)
    assert len(made.sides) > 10


def test_state_is_taken_up():
    made, other = Portfolio(band="0.05"), Portfolio(band="0.05")
    made.at()
    other.at()
    state = other.strategy.state()
    for name in other.strategy.saved:
        setattr(other.strategy, name, None)
    other.strategy.restore(state)
    assert made.at(4_200, 3_000) == other.at(4_200, 3_000)
    assert made.signed == other.signed


def test_new_weights_in_another_order_are_those_of_their_instruments():
    made = Portfolio()
    made.at()
    changes = {"weights": {B: "0.6", A: "0.2"}}
    made.strategy.settings = PortfolioRebalancingSettings(**{**GIVEN, **changes})
    assert made.at()
    assert made.weights() == pytest.approx([0.2, 0.6], abs=0.002)


def test_stopping_leaves_things_as_they_are():
    made = Portfolio()
    made.desk.stop()
    assert not [order for order in made.at() if isinstance(order, e.PlaceOrder)]
    assert made.signed == {A: 0, B: 0}


def test_settings_that_cannot_be():
    for wrong in ({"weights": {A: "0.6", B: "0.5"}}, {"holdings": {"x:Y": 1}}, {"weights": {}}):
        with pytest.raises(ValidationError):
            PortfolioRebalancingSettings(**{**GIVEN, **wrong})
