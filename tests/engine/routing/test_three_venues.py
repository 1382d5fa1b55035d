"""Routed orders on three venues and a pool, recorded and made: never worse than the best single place, and cheaper.

As decided, with the same shown books: no more than the best single place of that moment beyond rounding. As executed,
after latency: cheaper on average than every venue alone. docs/execution/routing.md has the whole recording.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import mean

import pytest

from engine.backtest.run import run_backtest
from engine.data.captures import Events
from engine.routing.report import Parent, parents
from tests.support.market_data import absence, market_data_folder
from tests.support.three_venues import POOL, ROUTES, config, events, gas_price, orders

ROUNDING_BPS = 1e-6
RECORDED = pytest.param("recorded", marks=pytest.mark.skipif(market_data_folder() is None, reason=absence()))
PLACES = (*ROUTES, POOL)


def folder(market: str) -> Path | None:
    return market_data_folder() if market == "recorded" else None


@cache
def data(market: str) -> Events:
    made = config(orders("1", 1, every_s=1, places=PLACES), folder=folder(market))
    return events(made, seconds=40)


def trade(market: str, places: tuple[str, ...], qty: str, fees: str) -> list[Parent]:
    made = config(orders(qty, 6, every_s=4, places=places), fees=fees, folder=folder(market))
    return parents(run_backtest(made, data(market), Path()), gas_price=gas_price())


@pytest.mark.parametrize("market", [RECORDED, "made"])
@pytest.mark.parametrize(("fees", "qty"), [("small account", "2"), ("large account", "12")])
def test_routing_beats_the_best_single_venue_and_is_never_worse(market, fees, qty):
    routed = trade(market, PLACES, qty, fees)
    assert len(routed) == 6
    for one in routed:
        # A pool's buy is exact in what it spends: what it brings moves with the market until its block, and counts.
        # Nothing is left that an exchange takes; no more is bought than such a swap brought too much.
        assert one.executed == pytest.approx(float(qty), rel=1e-3 if market == "recorded" else 1e-2)
        assert one.executed >= float(qty) - 0.00017  # Five dollars, or less.
        assert one.saved_bps >= -ROUNDING_BPS
        assert one.decided_bps - one.bound_bps <= 0.006
    assert max(one.saved_bps for one in routed) > 0
    if market == "made":
        return  # Made prices drift apart: which venue an order ends best at is a matter of luck.
    for place in ROUTES:
        alone = trade(market, (place,), qty, fees)
        assert [one.strategy for one in alone] == [one.strategy for one in routed]
        ours = mean(one.shortfall_bps for one in routed)
        sign = [1 if one.side == "buy" else -1 for one in routed]
        theirs = mean(
            s * (one.price / ours_.arrival - 1) * 1e4 for s, one, ours_ in zip(sign, alone, routed, strict=True)
        )
        assert ours < theirs, place


def test_the_report_adds_up():
    (one, *_) = trade("made", ("spot:BTCUSDT",), "1", "large account")
    # Of one place alone the split is that place's own, and costs its fee and half its spread at least.
    assert one.split == {"spot:BTCUSDT": 1.0}
    assert one.decided_bps == one.single_bps
    assert one.single_place == "spot:BTCUSDT"
    assert 2.3 <= one.shortfall_bps <= 4
    # What was decided has charges for latency and misses on top: 0.4 · √0.005 + 0.02 · 2 bps.
    assert one.decided_bps - one.shortfall_bps == pytest.approx(0.068, abs=0.05)
