"""What a strategy is told of an instrument: in a backtest the same as in the live engine's shell."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain import Instrument
from engine.sdk import Strategy
from tests.engine.markets import ETHUSDC, book, native_pool_kernel
from tests.engine.sdk.runs import BTC, market, run


class Curious(Strategy):
    def on_start(self, ctx):
        self.found = ctx.terms(0)

    def on_book(self, ctx, book):
        with pytest.raises(IndexError):
            ctx.terms(7)


def test_a_backtest_tells_the_markets_terms():
    strategy = Curious()
    run(strategy, market(1))
    found = strategy.found
    assert isinstance(found, Instrument)
    assert (found.id, found.base.id, found.quote.symbol) == (BTC.name, f"{BTC.venue}/{BTC.base}", BTC.quote)
    assert (found.tick_size, found.lot_size) == (BTC.tick_size, BTC.lot_size)
    assert (found.maker_fee_bps, found.taker_fee_bps) == (BTC.maker_fee_bps, BTC.taker_fee_bps)
    assert isinstance(found.min_notional, Decimal)


def test_the_live_shell_tells_its_instrument():
    strategy = Curious()
    native_pool_kernel(strategy).step(book())
    assert strategy.found is ETHUSDC
