"""Many parameter sets over bars: the native batch, the same in NumPy (vectorised over time), and in plain Python.

All three do the same sums: signal, size, fees, spread, impact, funding, result, drawdown, moments. NumPy's version
knows no bound of depth, so costs are set such that none binds; results are compared before anything is timed. CPU of
one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import numpy as np

from bench.rows import Row, figure_row, notes, ratio_row
from engine import signals
from engine.data import read_bars
from engine.research.bar_runs import BarRuns, Bars, BarTerms, Floats, bars_of, encode
from tests.reference import bar_runs as reference
from tests.support.market_data import market_data_folder

TARGET: Final = 20e6
"""Bars a second, of each set, on one core."""
PEER_TARGET: Final = 5.0
TERMS: Final = BarTerms(depth_share=1e9)
ROUNDS: Final = 3
FEW: Final = 5_000
"""Bars that plain Python is timed on."""
GRIDS: Final[dict[str, list[dict[str, Any]]]] = {
    "plain averages": [
        {"kind": "moving-average", "fast": fast, "slow": slow} for fast in range(6, 56) for slow in (100, 300)
    ],
    "exponential averages": [
        {"kind": "moving-average", "fast": fast, "slow": slow, "exponential": True}
        for fast in range(6, 56)
        for slow in (100, 300)
    ],
    "MACD": [{"kind": "macd", "fast": fast, "slow": slow, "signal": 9} for fast in range(6, 56) for slow in (60, 200)],
    "RSI": [{"kind": "rsi", "length": length, "low": low, "high": 55} for length in range(10, 60) for low in (40, 45)],
    "breakout": [
        {"kind": "breakout", "enter": enter, "leave": enter // part} for enter in range(24, 524, 10) for part in (1, 2)
    ],
}


def market() -> tuple[Bars, str]:
    """Six years of hours: Binance's BTCUSDT where it is recorded, else a seeded walk as long."""
    folder = market_data_folder()
    if folder is not None:
        table = read_bars(folder / "ohlcv" / "binance_BTCUSDT_1h_2017-2023.parquet")
        return bars_of(table, period=timedelta(hours=1)), "BTCUSDT, hours of 2017-2023"
    random, count = np.random.Generator(np.random.PCG64(7)), 52_106
    close = 10_000 * np.exp(np.cumsum(random.normal(0, 0.008, count)))
    begin = np.concatenate([[10_000.0], close[:-1]])
    wick = np.abs(random.normal(0, 0.003, (2, count)))
    high, low = np.maximum(begin, close) * (1 + wick[0]), np.minimum(begin, close) * (1 - wick[1])
    times = np.arange(1, count + 1, dtype=np.int64) * 3_600 * 10**9
    volume = random.uniform(500, 3_000, count)
    return Bars(timedelta(hours=1), times, begin, high, low, close, volume, np.zeros(count)), "a seeded walk"


def sides(bars: Bars, p: dict[str, Any]) -> signals.rules.Sides:
    match p["kind"]:
        case "moving-average":
            return signals.moving_average_sides(
                bars.close, p["fast"], p["slow"], exponential=p.get("exponential", False)
            )
        case "macd":
            return signals.macd_sides(bars.close, p["fast"], p["slow"], p["signal"])
        case "rsi":
            return signals.rsi_sides(bars.close, p["length"], low=p["low"], high=p["high"])
        case _:
            return signals.breakout_sides(bars.high, bars.low, bars.close, p["enter"], p["leave"])


def vectorised(runs: BarRuns, p: dict[str, Any]) -> tuple[float, float, float, float]:
    """One set in NumPy: net result, drawdown, and the first two sums of returns."""
    bars, terms = runs.bars, runs.terms
    side = np.maximum(sides(bars, p), 0)
    turns = np.flatnonzero(np.diff(side, prepend=0))
    said = np.zeros(len(side), np.int64)
    said[turns] = turns
    last = np.maximum.accumulate(said)
    target = np.where(side != 0, side * (terms.equity / bars.close[last]), 0.0)
    units = np.concatenate([[0.0], target[:-1]])
    trades = np.diff(units, prepend=0.0)
    size = np.abs(trades)
    value = size * bars.open
    worse = value * (terms.spread_bps / 20_000) + value * (runs.slip * np.sqrt(size))
    fees = (value + np.sign(trades) * worse) * (terms.fee_bps / 10_000)
    cash = -np.cumsum(trades * bars.open + worse + fees + units * bars.close * bars.funding)
    net: Floats = cash + units * bars.close
    left = abs(units[-1]) * bars.close[-1]
    worse_end = left * (terms.spread_bps / 20_000) + left * (runs.slip[-1] * np.sqrt(abs(units[-1])))
    net[-1] -= worse_end + (left - np.sign(units[-1]) * worse_end) * (terms.fee_bps / 10_000)
    returns = np.diff(net, prepend=0.0) / terms.equity
    peak = np.maximum.accumulate(np.maximum(net, 0.0))
    return float(net[-1]), float((peak - net).max()), float(returns.sum()), float((returns * returns).sum())


def cpu(work: Callable[[], object]) -> float:
    """The least of some runs: the machine is shared."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    bars, name = market()
    runs, rows = BarRuns(bars, TERMS), list[Row]()
    for what, grid in GRIDS.items():
        matrix = encode(grid)
        figures = runs.evaluate(matrix, history=0)
        for row, one in zip(figures, grid, strict=True):
            peer = vectorised(runs, one)
            found = tuple(float(row[column]) for column in ("net", "drawdown", "sum1", "sum2"))
            if not np.allclose(found, peer, rtol=1e-6, atol=1e-6):
                raise AssertionError(f"{one}: native {found}, NumPy {peer}")
        bars_run = len(bars) * len(grid)
        ours = bars_run / cpu(lambda matrix=matrix: runs.evaluate(matrix, history=0))  # type: ignore[misc]
        numpy = bars_run / cpu(lambda grid=grid: [vectorised(runs, one) for one in grid])  # type: ignore[misc]
        plain = FEW / cpu(lambda one=grid[0]: reference.run(runs, one, 0, FEW, 0))  # type: ignore[misc]
        shared = {"topic": "research", "ours": ours / 1e6, "unit": "M bars/s·set"}
        rows += [
            ratio_row(name=what, peer_name="at least 20 M", ratio=ours / TARGET, target=1.0, **shared),  # type: ignore[arg-type]
            ratio_row(
                name=what,
                peer_name=f"NumPy, {numpy / 1e6:.2f} M",
                ratio=ours / numpy,
                target=PEER_TARGET,
                **shared,  # type: ignore[arg-type]
            ),
            figure_row(name=what, peer_name=f"plain Python, {plain / 1e6:.3f} M", ratio=ours / plain, **shared),  # type: ignore[arg-type]
        ]
    notes.append(f"research_bars: {name}, {len(bars):,} bars, 100 sets of each rule, all costs; equal to NumPy to 1e-6")
    return rows
