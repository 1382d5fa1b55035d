"""Trend strategies on bars: the sides their rules say, sizes of the moment, what the batch of research says too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import ValidationError

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import Finished, run_backtest
from engine.data import read_bars
from engine.records import EventKind
from engine.research.bar_runs import BarRuns, BarTerms, bars_of
from engine.strategies.breakout import BreakoutSettings
from engine.strategies.catalog import make
from engine.strategies.macd import MacdSettings
from engine.strategies.moving_average import MovingAverage, MovingAverageSettings
from engine.strategies.trend import Trend
from tests.engine.strategies.cases import CASES, ETHUSDC, ROOM, TERMS

KINDS = {"moving-average", "macd", "rsi", "breakout"}
DATA = Path(__file__).parent / "data"
RULES: list[dict[str, Any]] = [
    {"kind": "moving-average", "fast": 3, "slow": 9, "band_bps": 5},
    {"kind": "moving-average", "fast": 3, "slow": 9, "exponential": True},
    {"kind": "macd", "fast": 3, "slow": 8, "signal": 4},
    {"kind": "rsi", "length": 5, "low": 40, "high": 60},
    {"kind": "rsi", "length": 5, "low": 25, "high": 75, "reverts": True},
    {"kind": "breakout", "enter": 12, "leave": 5},
]
SIZINGS: list[dict[str, Any]] = [
    {"kind": "fixed-fraction", "fraction": 1},
    {"kind": "volatility-target", "target": 0.003, "leverage_max": 2},
    {"kind": "atr", "risk": 0.01, "multiple": 2},
]


def run(parameters: dict[str, Any], equity: float = 10_000, **tradable: Any) -> Finished:
    config = BacktestConfig.model_validate(
        {
            "account": "USDC",
            "data": [{"kind": "ohlcv", "instrument": ETHUSDC, "path": "bars.csv", "tradable": tradable}],
            "instruments": {ETHUSDC: {**TERMS, "contract": "linear"}},
            "strategies": [{"instrument": ETHUSDC, "equity": equity, "limit_bps": 500, **parameters}],
            "risk": ROOM,
        }
    )
    events = load_events(config, DATA)
    assert events["kind"][-1] == EventKind.BAR
    return run_backtest(config, np.ascontiguousarray(events[:-1]), DATA)  # No decision that no open follows.


@pytest.mark.parametrize("shorts", [True, False])
@pytest.mark.parametrize("sizing", SIZINGS, ids=lambda one: one["kind"])
@pytest.mark.parametrize("rule", RULES, ids=lambda one: one["kind"])
def test_kernel_and_batch_come_to_the_same(rule: dict[str, Any], sizing: dict[str, Any], shorts: bool) -> None:
    """The kernel's orders, ticks and lots against the batch: equal but for what rounding to ticks costs an order."""
    parameters = {**rule, "sizing": sizing, "shorts": shorts, "sizing_bars": 6}
    bars = bars_of(read_bars(DATA / "bars.csv"), period=timedelta(hours=1))
    runs = BarRuns(bars, BarTerms(equity=10_000, fee_bps=4, spread_bps=4, impact=0, depth_share=1, closes=False))
    curve = runs.curve(parameters)
    finished = run(parameters, spread_bps=4, impact=0, depth_share=1, levels=1)
    assert len(finished.fills) == curve.figures["orders"][0] > 2
    ticks = 0.01 * np.abs(curve.units).max() * 2 * len(finished.fills)
    assert result_of(finished)["pnl"]["net"] == pytest.approx(curve.figures["net"][0], abs=ticks)
    assert abs(curve.figures["net"][0]) > 3 * ticks


def test_a_result_of_days_is_plain_numbers() -> None:
    found = result_of(run(RULES[0]))
    assert found["ratios"]["calmar"] is not None
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


def test_what_size_costs_is_alike_in_kernel_and_batch() -> None:
    parameters = {"kind": "moving-average", "fast": 3, "slow": 9, "shorts": True}
    bars = bars_of(read_bars(DATA / "bars.csv"), period=timedelta(hours=1))
    nets = {}
    for impact in (0.0, 1.0):
        # 100 ETH an order, of some 550 that trade in a bar.
        terms = BarTerms(equity=300_000, fee_bps=4, spread_bps=4, impact=impact, depth_share=1, closes=False)
        nets["batch", impact] = float(BarRuns(bars, terms).evaluate([parameters])["net"][0])
        finished = run(parameters, 300_000, spread_bps=4, impact=impact, depth_share=1, levels=40)
        nets["kernel", impact] = result_of(finished)["pnl"]["net"]
    batch, kernel = (nets[who, 0.0] - nets[who, 1.0] for who in ("batch", "kernel"))
    assert batch == pytest.approx(kernel, rel=0.05)
    assert batch > 1_000


def test_sides_and_what_they_are_made_of_are_signalled() -> None:
    finished = run(RULES[0])
    sides = [signal for signal in finished.signals if signal.name == "side"]
    assert len(sides) == 239
    assert {signal.value for signal in sides} == {0, 1}
    known = [signal for signal in sides if "fast" in signal.inputs]
    assert len(known) == 239 - 8
    last = known[-1].inputs
    closes = read_bars(DATA / "bars.csv")["close"].to_numpy()[:-1]
    assert last["fast"] == pytest.approx(closes[-3:].mean())
    assert last["slow"] == pytest.approx(closes[-9:].mean())
    assert last["close"] == pytest.approx(closes[-1])


def test_the_position_is_that_of_the_side_and_what_was_not_to_be_had_comes_later() -> None:
    # A tenth of a percent of the volume at most, at each open: about half an ETH of ten.
    finished = run({**RULES[0], "shorts": True}, 30_000, depth_share=0.001, levels=1)
    signed = np.where(finished.fills["side"] == 0, finished.fills["size"], -finished.fills["size"])
    position = np.cumsum(signed)
    assert len(finished.fills) > 100
    assert position.max() > 20_000
    assert position.min() < -20_000  # In lots of 0.0001 ETH.


@pytest.mark.parametrize("case", [c for c in CASES if c.label in KINDS], ids=lambda c: c.label)
def test_state_carries_over_as_plain_bytes(case: Any) -> None:
    settings = case.config().strategies[0]
    one, other = make(settings), make(settings)
    assert isinstance(one, Trend)
    assert isinstance(other, Trend)
    bars = read_bars(DATA / "bars.csv")
    for row in bars[:100].iter_rows():
        one._rule.update(row[2], row[3], row[4])
        one._volatility.update(row[4])
        one._atr.update(row[2], row[3], row[4])
    other.restore(one.state())
    assert other.state() == one.state()
    for row in bars[100:].iter_rows():
        assert one._rule.update(row[2], row[3], row[4]) == other._rule.update(row[2], row[3], row[4])
        assert one._volatility.update(row[4]) == other._volatility.update(row[4])
        assert one._atr.update(row[2], row[3], row[4]) == other._atr.update(row[2], row[3], row[4])


def test_parameters_that_contradict_themselves_are_refused() -> None:
    common = {"instrument": ETHUSDC, "equity": 1}
    with pytest.raises(ValidationError, match="not shorter than slow"):
        MovingAverageSettings.model_validate({**common, "fast": 9, "slow": 9})
    with pytest.raises(ValidationError, match="not shorter than slow"):
        MacdSettings.model_validate({**common, "fast": 30})
    with pytest.raises(ValidationError, match="longer than enter"):
        BreakoutSettings.model_validate({**common, "enter": 3, "leave": 4})


def test_a_band_may_change_while_it_runs_and_the_means_go_on() -> None:
    settings = MovingAverageSettings.model_validate({"instrument": ETHUSDC, "equity": 1, "fast": 2, "slow": 3})
    strategy = MovingAverage(settings)
    for price in (1.0, 2.0, 3.0):
        strategy._rule.update(price, price, price)
    strategy.reconfigure(None, settings.model_copy(update={"band_bps": 7_000}))  # type: ignore[arg-type]
    assert (strategy._rule.band_bps, strategy._rule.count, strategy._rule.side) == (7_000.0, 3, 1)
    assert strategy._rule.update(0.9, 0.9, 0.9) == 1  # 1.95 to 1.97: within the band.


def test_a_stop_goes_flat_at_the_close_that_hits_it_and_stays_so_until_the_side_changes() -> None:
    plain = run({**RULES[0], "shorts": True})
    stopped = run({**RULES[0], "shorts": True, "stop_bps": "20"})
    assert len(stopped.fills) > len(plain.fills)
    position = np.cumsum(np.where(stopped.fills["side"] == 0, stopped.fills["size"], -stopped.fills["size"]))
    assert (position == 0).sum() > 0
    closes = {signal.time_ns: signal.inputs["close"] for signal in stopped.signals if signal.name == "side"}
    sides = [(signal.value, signal.inputs["close"]) for signal in stopped.signals if signal.name == "side"]
    assert len(closes) == len(sides)
    # By hand: the closes at which a held side was 20 bps under its entry, once each.
    held, entry, stops, is_out = 0.0, 0.0, 0, False
    for side, close in sides:
        if side != held:
            held, entry, is_out = side, close, False
        elif held and not is_out and held * (close / entry - 1) <= -0.002:
            stops, is_out = stops + 1, True
    assert stops == (position == 0).sum()


def test_a_size_for_a_stop_loses_what_was_risked_and_needs_the_stop() -> None:
    sizing = {"kind": "fixed-fractional", "risk": "0.001"}
    finished = run({**RULES[0], "shorts": True, "stop_bps": "20", "sizing": sizing}, spread_bps=1, impact=0)
    first = next(s for s in finished.signals if s.name == "side" and s.value)
    # 10 dollars at 20 bps: 5,000 dollars' worth.
    assert float(first.inputs["lots"]) * 0.0001 * float(first.inputs["close"]) == pytest.approx(5_000, abs=1)
    with pytest.raises(ValidationError, match="stop_bps is 0"):
        MovingAverageSettings.model_validate(
            {"instrument": ETHUSDC, "equity": 1, "sizing": {"kind": "fixed-fractional"}}
        )


def test_kelly_takes_a_share_of_the_edge_seen_and_nothing_against_it() -> None:
    finished = run({**RULES[0], "shorts": True, "sizing": {"kind": "kelly", "cap": "0.3"}, "sizing_bars": 6})
    closes: list[float] = []
    seen = set()
    for signal in (s for s in finished.signals if s.name == "side"):
        closes.append(float(signal.inputs["close"]))
        if len(closes) < 7:
            assert signal.inputs["lots"] == 0
            continue
        returns = np.diff(closes[-7:]) / np.array(closes[-7:-1])
        edge = signal.value * returns.mean() / (returns**2).mean() / 2
        worth = float(signal.inputs["lots"]) * 0.0001 * closes[-1] / 10_000
        assert worth == pytest.approx(max(-0.3, min(0.3, edge)), abs=1e-4)
        seen.add(np.sign(worth))
    assert seen >= {-1, 1}
    # Against the edge it holds nothing: never a position against the rule's side.
    position = np.cumsum(np.where(finished.fills["side"] == 0, finished.fills["size"], -finished.fills["size"]))
    sides = {s.time_ns: s.value for s in finished.signals if s.name == "side"}
    times = np.array(sorted(sides))
    for fill, held in zip(finished.fills, position, strict=True):
        side = sides[int(times[np.searchsorted(times, fill["time_local_ns"]) - 1])]
        assert held * side >= 0
