"""The tables of the trend strategies' pages, from recorded bars: `python -m tests.support.trend_tables [KIND …]`.

Every number is after fees, half a spread and impact at each trade, and funding of perpetuals; position sizes are a
constant 100,000 USDT, profits are not added.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.data import read_bars, read_funding
from engine.research.bar_runs import BarRuns, BarTerms, bars_of, sharpe
from tests.support.market_data import absence, market_data_folder

SPOT: Final = BarTerms(fee_bps=10, spread_bps=2)
PERPETUAL: Final = BarTerms(fee_bps=5, spread_bps=2)
HOUR: Final = timedelta(hours=1)
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "moving-average": {"fast": 24, "slow": 168},
    "macd": {"fast": 12, "slow": 26, "signal": 9},
    "rsi": {"length": 14, "low": 45, "high": 55},
    "breakout": {"enter": 480, "leave": 240},
}
GRIDS: Final[dict[str, dict[str, list[float]]]] = {
    "moving-average": {
        "fast": [6, 12, 24, 48, 72, 96],
        "slow": [120, 168, 240, 336, 480, 720],
        "band_bps": [0, 25, 50, 100],
    },
    "macd": {"fast": [12, 24, 48, 96], "slow": [120, 240, 480, 720], "signal": [9, 24, 72], "band_bps": [0, 5, 20]},
    "rsi": {"length": [14, 24, 48, 96, 168], "low": [35, 40, 45, 48], "high": [52, 55, 60, 65]},
    "breakout": {"enter": [24, 48, 96, 168, 240, 336, 480, 720, 960], "leave": [12, 24, 48, 96, 168, 240, 336, 480]},
}


def markets(folder: Path) -> Iterator[tuple[str, BarRuns, bool]]:
    """Each history with its name, its costs, and whether it can be sold short."""
    names = {"BTCUSDT": "2017-2023.parquet", "ETHUSDT": "2017-2023.parquet"}
    names |= dict.fromkeys(("BNBUSDT", "LTCUSDT", "SOLUSDT", "XRPUSDT"), "2021-2023.csv.gz")
    for symbol, tail in names.items():
        bars = bars_of(read_bars(folder / f"binance_{symbol}_1h_{tail}"), period=HOUR)
        yield f"spot {symbol}, {tail[:9]}", BarRuns(bars, SPOT), False
    for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT"):
        table = read_bars(folder / f"binance_usdm_{symbol}_1h-futures.feather")
        funding = read_funding(folder / f"binance_usdm_{symbol}_8h-funding_rate.feather")
        yield f"perpetual {symbol}, 2023-24", BarRuns(bars_of(table, period=HOUR, funding=funding), PERPETUAL), True


def held(runs: BarRuns) -> tuple[float, float]:
    """What buying and holding gave, by the year and as a share of what was put in, and its deepest fall from a peak."""
    close = runs.bars.close
    gained = float(close[-1] / runs.bars.open[0] - 1)
    return gained / (len(close) / runs.periods_per_year), float((1 - close / np.maximum.accumulate(close)).max())


def sets(kind: str, shorts: bool) -> list[dict[str, Any]]:
    """The grid, without what contradicts itself."""
    names = list(GRIDS[kind])
    made = [dict(zip(names, values, strict=True)) for values in product(*GRIDS[kind].values())]
    return [
        {"kind": kind, "shorts": shorts, **one} for one in made if kind != "breakout" or one["leave"] <= one["enter"]
    ]


def defaults_table(kind: str, folder: Path) -> Iterator[str]:
    yield "| market | a year | Sharpe | deepest fall | trades a year | fees | spread, impact | funding | held instead |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, runs, shorts in markets(folder):
        row = runs.evaluate([{"kind": kind, "shorts": shorts, **DEFAULTS[kind]}])[0:1]
        years, equity = len(runs.bars) / runs.periods_per_year, runs.terms.equity
        figures = row[0]
        instead, fall = held(runs)
        shares = [figures[key] / equity / years for key in ("net", "fees", "funding")]
        impact = (figures["spread"] + figures["slippage"]) / equity / years
        ratio = sharpe(row, runs.periods_per_year)[0]
        yield (
            f"| {name}{', both sides' if shorts else ''} | {shares[0]:+.1%} | {ratio:.2f}"
            f" | {figures['drawdown'] / equity:.0%} | {figures['orders'] / years:.0f} | {shares[1]:.1%} | {impact:.1%}"
            f" | {f'{shares[2]:+.1%}' if shorts else '–'} | {instead:+.0%}, fall {fall:.0%} |"
        )


def grid_table(kind: str, folder: Path) -> Iterator[str]:
    yield "| market | sets | gain | median | best of first half | the same in second half | second half's median |"
    yield "|---|---|---|---|---|---|---|"
    for name, runs, shorts in markets(folder):
        grid, half = sets(kind, shorts), len(runs.bars) // 2
        whole, first, second = (
            runs.evaluate(grid, *span)["net"] / runs.terms.equity / ((span[1] - span[0]) / runs.periods_per_year)
            for span in ((0, len(runs.bars)), (0, half), (half, len(runs.bars)))
        )
        best = int(first.argmax())
        yield (
            f"| {name} | {len(grid)} | {(whole > 0).mean():.0%} | {np.median(whole):+.1%} | {first[best]:+.1%}"
            f" | {second[best]:+.1%} | {np.median(second):+.1%} |"
        )


def main() -> None:
    folder = market_data_folder()
    if folder is None:
        sys.exit(absence())
    for kind in sys.argv[1:] or DEFAULTS:
        print(f"\n## {kind} {DEFAULTS[kind]}\n")
        print("\n".join(defaults_table(kind, folder / "ohlcv")))
        print()
        print("\n".join(grid_table(kind, folder / "ohlcv")))


if __name__ == "__main__":
    main()
