"""Funding arbitrage: the rate it expects, when it opens and closes, and that it is hedged or out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.strategies.funding_arbitrage import FundingArbitrage, FundingArbitrageSettings
from tests.engine.markets import report
from tests.engine.strategies.desk import Desk

SPOT, PERPETUAL = "one:ETHUSDC", "two:ETHUSDC"
GIVEN = {"spot": SPOT, "perpetual": PERPETUAL, "notional": 3_000, "look_s": 1, "memory_s": 1, "legs_s": 5}


class Carry:
    """The strategy on two markets; what it orders trades at once where `answers` says so."""

    def __init__(self, **changes):
        self.desk = Desk(FundingArbitrageSettings(**{**GIVEN, **changes}), venues=("one", "two"))
        self.answers = (SPOT, PERPETUAL)
        self.signed = {SPOT: 0, PERPETUAL: 0}

    def premium(self, bps, seconds=10):
        """The perpetual that much above the spot for some time; what was ordered."""
        orders = []
        for _ in range(seconds):
            for at, mid in ((1, round(300_000 * (1 + bps / 1e4))), (0, 300_000)):
                self.desk.book(mid - 3, mid + 3, at=at, after_s=0.5)
                orders += self._trade(self.desk.placed())
        return orders

    def _trade(self, orders):
        told = list(orders)
        for order in orders:
            trades = order.instrument in self.answers
            follow = []
            if trades:
                self.signed[order.instrument] += order.qty_lots * (1 if order.side is Side.BUY else -1)
                self.desk.fill(order, order.qty_lots)
                follow = self.desk.placed()
            self.desk.now_ns += 1_000
            state = OrderState.FILLED if trades else OrderState.EXPIRED
            self.desk.tell(report(order.client_order_id, state, self.desk.now_ns))
            told += self._trade(follow + self.desk.placed())
        return told


@given(premium=st.floats(-300, 300))
def test_the_forecast_is_the_venues_formula(premium):
    """Binance: F = P + clamp(0.01% - P, ±0.05%), within ±0.75%: worked out case by case."""
    strategy = FundingArbitrage(FundingArbitrageSettings(spot="a:B", perpetual="c:D"))
    strategy._premium = premium
    outside = premium - 5 if premium > 1 else premium + 5
    expected = 1.0 if abs(1 - premium) <= 5 else outside
    assert strategy.rate_bps() == pytest.approx(max(-75.0, min(75.0, expected)))


def test_the_premium_is_an_average_with_its_half_life():
    strategy = FundingArbitrage(FundingArbitrageSettings(spot="a:B", perpetual="c:D", memory_s=100))
    strategy._learn(10**9, 8.0)
    strategy._learn(101 * 10**9, 0.0)
    assert strategy._premium == pytest.approx(4.0)


def test_it_opens_when_the_funding_to_come_pays_the_legs_and_both_are_of_one_size():
    # Costs: four times 4 bps and the spreads, 0.4 bps. Thirty periods of 1 bp less that are 14; of 12 - 5 far more.
    assert Carry(open_bps=15).premium(0) == []
    orders = Carry(open_bps=13).premium(0)
    assert [(o.instrument, o.side) for o in orders] == [(SPOT, Side.BUY), (PERPETUAL, Side.SELL)]
    made = Carry(open_bps=200)
    assert not made.premium(10)
    assert made.premium(15)
    assert made.signed[SPOT] == -made.signed[PERPETUAL] == 1_000


def test_it_closes_when_the_rate_has_gone():
    made = Carry()
    made.premium(0)
    assert made.signed[SPOT] == 1_000
    assert not made.premium(-4)
    assert made.premium(-8)
    assert made.signed == {SPOT: 0, PERPETUAL: 0}
    assert made.desk.strategy.is_idle
    assert not made.premium(-8)


def test_it_takes_a_basis_that_pays_at_once():
    made = Carry(memory_s=10**6, take_bps=20)
    made.premium(0)
    assert not made.premium(-25)
    assert made.premium(-30)
    assert made.signed == {SPOT: 0, PERPETUAL: 0}


def test_a_leg_that_does_not_trade_makes_the_other_be_given_up_for_a_while():
    made = Carry()
    made.answers = (SPOT,)
    made.premium(0, seconds=3)
    assert made.signed == {SPOT: 1_000, PERPETUAL: 0}
    made.premium(0, seconds=6)
    assert made.signed == {SPOT: 0, PERPETUAL: 0}
    made.answers = (SPOT, PERPETUAL)
    assert not made.premium(0, seconds=20)
    assert made.premium(0, seconds=40)


def test_stopping_closes():
    made = Carry()
    made.premium(0)
    made._trade([c for c in made.desk.stop() if isinstance(c, e.PlaceOrder)])
    made.premium(0, seconds=3)
    assert made.signed == {SPOT: 0, PERPETUAL: 0}


def test_state_is_taken_up():
    made = Carry()
    made.premium(0)
    state = made.desk.strategy.state()
    for name in made.desk.strategy.saved:
        setattr(made.desk.strategy, name, None)
    made.desk.strategy.restore(state)
    assert made.desk.strategy.state() == state
    assert made.premium(-8)
    assert made.signed == {SPOT: 0, PERPETUAL: 0}


def test_one_instrument_is_no_pair():
    with pytest.raises(ValidationError):
        FundingArbitrageSettings(**{**GIVEN, "spot": PERPETUAL})
