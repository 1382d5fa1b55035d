"""Many sets over bars: bit for bit what plain Python does, whatever else was asked for, and costs that add up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from domain import InputError
from engine.research.bar_runs import FIGURES, BarRuns, Bars, BarTerms, bars_of, encode, sharpe
from tests.reference import bar_runs as reference

HOUR = timedelta(hours=1)


def table(count: int = 900, seed: int = 4) -> pl.DataFrame:
    random = np.random.Generator(np.random.PCG64(seed))
    last = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    last[300:340] = last[min(300, count - 1)]
    first = np.concatenate([[100.0], last[:-1]]) * np.exp(random.normal(0, 0.001, count))
    wick = np.abs(random.normal(0, 0.004, (2, count)))
    return pl.DataFrame(
        {
            "time": [datetime(2024, 1, 1, tzinfo=UTC) + at * HOUR for at in range(count)],
            "open": first,
            "high": np.maximum(first, last) * (1 + wick[0]),
            "low": np.minimum(first, last) * (1 - wick[1]),
            "close": last,
            "volume": random.uniform(0, 40_000, count),
        }
    )


def funding(count: int = 110) -> pl.DataFrame:
    random = np.random.Generator(np.random.PCG64(1))
    times = [datetime(2024, 1, 1, tzinfo=UTC) + at * 8 * HOUR + timedelta(milliseconds=3) for at in range(count)]
    return pl.DataFrame({"time": times, "rate": random.normal(1e-4, 2e-4, count)})


@pytest.fixture(scope="module")
def bars() -> Bars:
    return bars_of(table(), period=HOUR, funding=funding())


RULES: list[dict[str, Any]] = [
    {"kind": "moving-average", "fast": 5, "slow": 20, "band_bps": 7},
    {"kind": "moving-average", "fast": 8, "slow": 30, "exponential": True},
    {"kind": "macd", "fast": 6, "slow": 13, "signal": 5, "band_bps": 1},
    {"kind": "rsi", "length": 9, "low": 42, "high": 58},
    {"kind": "rsi", "length": 5, "low": 25, "high": 75, "reverts": True},
    {"kind": "breakout", "enter": 24, "leave": 9},
    {"kind": "breakout", "enter": 1, "leave": 1},
]
SIZINGS: list[dict[str, Any]] = [
    {"kind": "fixed-fraction", "fraction": 0.7, "leverage_max": 1},
    {"kind": "volatility-target", "target": 0.004, "leverage_max": 2},
    {"kind": "atr", "risk": 0.01, "multiple": 3, "leverage_max": 1.5},
]
SETS = [
    {**rule, "sizing": sizing, "shorts": shorts, "sizing_bars": 17}
    for rule in RULES
    for sizing in SIZINGS
    for shorts in (True, False)
]


def same(row: np.void, figures: dict[str, float]) -> bool:
    return np.array(list(figures.values())).tobytes() == row.tobytes()


@pytest.mark.parametrize(("begin", "end", "history"), [(0, 900, 0), (500, 760, 130), (37, 38, 37)])
def test_native_is_plain_python_bit_for_bit(bars: Bars, begin: int, end: int, history: int) -> None:
    runs = BarRuns(bars, BarTerms(equity=400_000))
    rows = runs.evaluate(SETS, begin, end, history)
    for row, one in zip(rows, SETS, strict=True):
        units, net, figures = reference.run(runs, one, begin, end, history)
        assert same(row, figures), one
        curve = runs.curve(one, begin, end, history)
        assert curve.units.tobytes() == np.array(units).tobytes()
        assert curve.net.tobytes() == np.array(net).tobytes()
        assert curve.figures.tobytes() == row.tobytes()
    if end - begin > 200:
        assert (rows["orders"] > 2).all()
        assert len(np.unique(rows["net"])) > 35  # They are different runs.


def test_result_is_what_was_traded_at_opens_less_the_costs(bars: Bars) -> None:
    runs = BarRuns(bars, BarTerms(closes=False))
    for one in SETS:
        curve = runs.curve(one)
        row = curve.figures[0]
        gross = curve.units[-1] * bars.close[-1] - (np.diff(curve.units, prepend=0.0) * bars.open).sum()
        paid = row["fees"] + row["spread"] + row["slippage"] + row["funding"]
        assert row["net"] == pytest.approx(gross - paid, abs=1e-6)
        assert row["funding"] == pytest.approx((curve.units * bars.close * bars.funding).sum(), abs=1e-6)


def test_a_set_comes_out_alike_alone_in_threads_and_over_ranges(bars: Bars) -> None:
    runs = BarRuns(bars)
    together = runs.evaluate(SETS, 100, 800)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda one: runs.evaluate([one], 100, 800)[0].tobytes(), SETS))
    assert [row.tobytes() for row in together] == alone
    assert runs.evaluate(encode(SETS), 100, 800).tobytes() == together.tobytes()


def test_what_follows_changes_nothing(bars: Bars) -> None:
    other = bars_of(pl.concat([table()[:600], table(seed=9)[600:]]), period=HOUR, funding=funding())
    for one in SETS:
        first, second = (BarRuns(some).curve(one, 0, 900) for some in (bars, other))
        assert first.net[:600].tobytes() == second.net[:600].tobytes()
        assert first.units[:600].tobytes() == second.units[:600].tobytes()


def test_costs_cost_and_depth_bounds(bars: Bars) -> None:
    one = [RULES[5]]
    nets = [
        float(BarRuns(bars, BarTerms(equity=1e6, **terms)).evaluate(one)["net"][0])
        for terms in (
            {"fee_bps": 0, "spread_bps": 0, "impact": 0, "depth_share": 1e9},
            {"fee_bps": 5, "spread_bps": 0, "impact": 0, "depth_share": 1e9},
            {"fee_bps": 5, "spread_bps": 4, "impact": 0, "depth_share": 1e9},
            {"fee_bps": 5, "spread_bps": 4, "impact": 1, "depth_share": 1e9},
        )
    ]
    assert nets == sorted(nets, reverse=True)
    assert len(set(nets)) == 4
    thin = BarRuns(bars, BarTerms(equity=1e7, depth_share=0.01))
    curve = thin.curve(RULES[5])
    assert (np.abs(np.diff(curve.units, prepend=0.0))[:-1] <= thin.depth[:-1] * (1 + 1e-12)).all()
    assert curve.figures["orders"][0] > BarRuns(bars, BarTerms(equity=1e4)).curve(RULES[5]).figures["orders"][0]


def test_sharpe_is_that_of_the_bars_returns(bars: Bars) -> None:
    runs = BarRuns(bars)
    curve = runs.curve(RULES[0])
    returns = np.diff(curve.net, prepend=0.0) / runs.terms.equity
    expected = returns.mean() / returns.std() * np.sqrt(365.25 * 24)
    assert sharpe(curve.figures, runs.periods_per_year)[0] == pytest.approx(expected, rel=1e-9)
    assert sharpe(np.zeros(1, FIGURES), 1.0)[0] == 0.0


def test_funding_is_due_at_the_close_it_is_told_at() -> None:
    made = bars_of(table(20), period=HOUR, funding=funding(3))
    assert np.flatnonzero(made.funding).tolist() == [7, 15]
    assert made.index(int(made.time_ns[4])) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "nothing"}, "no kind"),
        ({"kind": "breakout", "enter": 5}, "leave must be given"),
        ({"kind": "breakout", "enter": 5, "leave": 2, "speed": 1}, "unknown parameter 'speed'"),
        ({"kind": "breakout", "enter": 5, "leave": 9}, "contradict"),
        ({"kind": "breakout", "enter": 5.5, "leave": 2}, "length in bars"),
        ({"kind": "moving-average", "fast": 5, "slow": 5}, "contradict"),
        ({"kind": "macd", "sizing": {"kind": "kelly"}}, "no sizing"),
        ({"kind": "macd", "sizing": {"kind": "volatility-target"}}, "target must be given"),
    ],
)
def test_sets_that_cannot_be_are_refused(bars: Bars, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BarRuns(bars).evaluate([wrong])


@pytest.mark.parametrize(("begin", "end"), [(5, 5), (9, 5), (0, 901), (-1, 5)])
def test_ranges_that_are_not_there_are_refused(bars: Bars, begin: int, end: int) -> None:
    with pytest.raises(InputError):
        BarRuns(bars).evaluate([RULES[0]], begin, end)
