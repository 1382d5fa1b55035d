"""Signals: bar by bar equals the whole array bit for bit, and both equal what the definition says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import signals as s

Floats = npt.NDArray[np.float64]


def prices(count: int = 400, seed: int = 5) -> tuple[Floats, Floats, Floats]:
    random = np.random.Generator(np.random.PCG64(seed))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    close[50:60] = close[50]  # A market that does not move.
    wick = np.abs(random.normal(0, 0.004, (2, count)))
    return close * (1 + wick[0]), close * (1 - wick[1]), close


HIGH, LOW, CLOSE = prices()
VALUES: dict[str, tuple[Any, Callable[[Floats], Floats]]] = {
    "sma": (s.Sma.of(7), lambda x: s.sma(x, 7)),
    "ema": (s.Ema(7), lambda x: s.ema(x, 7)),
    "rsi": (s.Rsi.of(14), lambda x: s.rsi(x, 14)),
    "macd": (s.Macd.of(5, 12, 4), lambda x: s.macd(x, 5, 12, 4)),
    "highest": (s.Highest(9), lambda x: s.highest(x, 9)),
    "lowest": (s.Lowest.of(9), lambda x: s.lowest(x, 9)),
    "volatility": (s.Volatility.of(20), lambda x: s.volatility(x, 20)),
}
RULES: dict[str, tuple[Any, Callable[[Floats, Floats, Floats], Any]]] = {
    "sma": (
        s.MovingAverages.of(5, 20, band_bps=10),
        lambda high, low, c: s.moving_average_sides(c, 5, 20, band_bps=10),
    ),
    "ema": (
        s.MovingAverages.of(5, 20, exponential=True),
        lambda high, low, c: s.moving_average_sides(c, 5, 20, exponential=True),
    ),
    "macd": (s.MacdTrend.of(5, 12, 4, band_bps=2), lambda high, low, c: s.macd_sides(c, 5, 12, 4, band_bps=2)),
    "rsi": (s.RsiLevels.of(7, low=40, high=60), lambda high, low, c: s.rsi_sides(c, 7, low=40, high=60)),
    "rsi-reverts": (
        s.RsiLevels.of(7, low=30, high=70, reverts=True),
        lambda high, low, c: s.rsi_sides(c, 7, low=30, high=70, reverts=True),
    ),
    "breakout": (s.Breakout.of(20, 8), lambda high, low, c: s.breakout_sides(high, low, c, 20, 8)),
}


def fresh(one: Any) -> Any:
    return msgspec.convert(msgspec.to_builtins(one), type(one))


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("count", [0, 1, 5, 14, 15, 400])
def test_bar_by_bar_is_the_whole_array(name: str, count: int) -> None:
    one, whole = VALUES[name]
    one = fresh(one)
    steps = np.array([one.update(value) for value in CLOSE[:count].tolist()], np.float64)
    assert steps.tobytes() == whole(CLOSE[:count]).astype(np.float64).tobytes()


def test_average_true_range_bar_by_bar_is_the_whole_array_and_the_definition() -> None:
    one = s.Atr.of(10)
    steps = np.array([one.update(*bar) for bar in zip(HIGH.tolist(), LOW.tolist(), CLOSE.tolist(), strict=True)])
    assert steps.tobytes() == s.atr(HIGH, LOW, CLOSE, 10).tobytes()
    ranges = [HIGH[0] - LOW[0]]
    for at in range(1, 11):
        ranges.append(
            max(HIGH[at] - LOW[at], abs(HIGH[at] - CLOSE[at - 1]), abs(LOW[at] - CLOSE[at - 1])),
        )
    first = sum(ranges[:10]) / 10
    assert np.isnan(steps[:9]).all()
    assert steps[9:11] == pytest.approx([first, (9 * first + ranges[10]) / 10])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 400])
def test_rules_bar_by_bar_are_the_whole_array_and_trade(name: str, count: int) -> None:
    one, whole = RULES[name]
    one = fresh(one)
    bars = zip(HIGH[:count].tolist(), LOW[:count].tolist(), CLOSE[:count].tolist(), strict=True)
    sides = [one.update(*bar) for bar in bars]
    assert sides == whole(HIGH[:count], LOW[:count], CLOSE[:count]).tolist()
    if count == 400:
        assert {-1, 1} <= set(sides)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_goes_on_from_its_plain_state(name: str) -> None:
    whole, half = fresh(RULES[name][0]), fresh(RULES[name][0])
    bars = list(zip(HIGH.tolist(), LOW.tolist(), CLOSE.tolist(), strict=True))
    for at, bar in enumerate(bars):
        if at % 37 == 0:
            half = msgspec.json.decode(msgspec.json.encode(half), type=type(half))
        assert whole.update(*bar) == half.update(*bar)


@pytest.mark.parametrize("name", RULES)
def test_what_follows_does_not_change_what_was_said(name: str) -> None:
    whole = RULES[name][1]
    other = prices(seed=6)
    joined = [
        np.concatenate([mine[:200], theirs[200:]]) for mine, theirs in zip((HIGH, LOW, CLOSE), other, strict=True)
    ]
    assert whole(HIGH, LOW, CLOSE)[:200].tobytes() == whole(*joined)[:200].tobytes()


def test_means_against_their_definitions() -> None:
    assert s.sma(CLOSE, 7)[6:] == pytest.approx([CLOSE[at - 6 : at + 1].mean() for at in range(6, len(CLOSE))])
    weights = 0.75 ** np.arange(100)[::-1] * 0.25
    weights[0] = 0.75**99
    assert s.ema(CLOSE[:100], 7)[-1] == pytest.approx((weights * CLOSE[:100]).sum())
    returns = CLOSE[1:] / CLOSE[:-1] - 1
    assert s.volatility(CLOSE, 20)[-1] == pytest.approx(math.sqrt((returns[-20:] ** 2).mean()))
    assert s.macd(CLOSE, 5, 12, 4)[-1] == pytest.approx(
        (s.ema(CLOSE, 5) - s.ema(CLOSE, 12) - s.ema(s.ema(CLOSE, 5) - s.ema(CLOSE, 12), 4))[-1]
    )


def test_strength_of_wilders_own_arithmetic() -> None:
    # Rises of 1 and falls of 0.5 in turn: means 0.5 and 0.25 over an even count, so 100 * 0.5 / 0.75.
    walk = np.cumsum([10.0] + [1.0, -0.5] * 7)
    assert s.rsi(walk, 14)[-1] == pytest.approx(200 / 3)
    assert s.rsi(np.arange(20.0), 14)[-1] == 100.0
    assert s.rsi(np.arange(20.0)[::-1].copy(), 14)[-1] == 0.0
    assert s.rsi(np.full(20, 3.0), 14)[-1] == 50.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 12), st.integers(1, 12))
def test_highest_and_breakout_of_any_walk(walk: list[int], enter: int, leave: int) -> None:
    values, leave = np.array(walk, np.float64), min(leave, enter)
    one, rule = s.Highest(enter), s.Breakout.of(enter, leave)
    assert np.array([one.update(v) for v in values.tolist()]).tobytes() == s.highest(values, enter).tobytes()
    sides = [rule.update(v, v, v) for v in values.tolist()]
    assert sides == s.breakout_sides(values, values, values, enter, leave).tolist()
