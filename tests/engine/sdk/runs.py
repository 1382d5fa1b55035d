"""Small backtests for the tests of the SDK: one perpetual on a synthetic market."""

from __future__ import annotations

from decimal import Decimal

import capstan_native as native
import numpy as np

from engine.backtest.synthetic import synthesize
from engine.records import COMMAND, EVENT
from engine.sdk.run import Market, engine_config

BTC = Market("sim:BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), contract="linear")
VENUE = {"venue": 0, "latency": {"place": (500_000, 500_000)}}


def market(seconds=60, seed=7):
    return synthesize(seconds=seconds, seed=seed)


def run(strategy, events, *, every=1_000, venue=VENUE, markets=(BTC,), **options):
    """Run one strategy to the end."""
    config = engine_config(markets, [("s", strategy)], account="USDT")
    made = native.Backtest(config, (strategy,), [venue], **options)
    assert not made.run(np.ascontiguousarray(events).view(np.uint8), every)
    return made


def records(made):
    """Fills and commands of a run."""
    fills, commands = made.records()
    return np.frombuffer(fills, EVENT), np.frombuffer(commands, COMMAND)
