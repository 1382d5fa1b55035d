"""Statistics of results, on returns or on changes of money. Floats: they inform, they decide nothing.

A series is one number per equal step of time. Ratios of mean to deviation do not care for its scale, so changes of
money do as well as returns, as long as capital is not reinvested. Deviations are of a sample (n - 1). Whatever is not
defined (no deviation, no loss, too few numbers) is None, never zero or infinity.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from domain import InputError

Floats = npt.NDArray[np.float64]

YEAR_S: Final = 365.25 * 86_400
_NORMAL: Final = NormalDist()
_EULER: Final = 0.5772156649015329


def sharpe(changes: Floats, per_year: float, riskless: float = 0.0) -> float | None:
    """Mean excess over deviation, by the year (Sharpe 1994).

    Args:
        changes: Returns, or changes of money.
        per_year: Steps in a year.
        riskless: What a step without risk brings, in the same unit.
    """
    if len(changes) < 2:
        return None
    deviation = float(changes.std(ddof=1))
    if not _is_spread(deviation, changes):
        return None
    return (float(changes.mean()) - riskless) / deviation * math.sqrt(per_year)


def sortino(changes: Floats, per_year: float, target: float = 0.0) -> float | None:
    """Mean excess over downside deviation, by the year: the root of the mean square of what fell short of the target,
    over all steps (Sortino and Price 1994)."""
    if not len(changes):
        return None
    short = np.minimum(changes - target, 0.0)
    downside = math.sqrt(float(np.mean(short * short)))
    return (float(changes.mean()) - target) / downside * math.sqrt(per_year) if downside > 0.0 else None


def drawdown(result: Floats, start: float = 0.0) -> Floats:
    """How far each point is below the highest before it, the start included. Absolute, at least 0."""
    return np.asarray(np.maximum.accumulate(np.maximum(result, start)) - result, dtype=np.float64)


def relative_drawdown(equity: Floats) -> Floats:
    """How far each point is below the highest so far, as a share of that: 0 to 1 while equity is positive.

    Raises:
        InputError: The equity begins at zero or below.
    """
    if len(equity) and equity[0] <= 0.0:
        raise InputError(f"equity begins at {equity[0]:g}: there is no share of it")
    peak = np.maximum.accumulate(equity)
    return np.asarray((peak - equity) / peak, dtype=np.float64)


def drawdown_steps_max(result: Floats, start: float = 0.0) -> int:
    """The longest time below a peak, in steps."""
    longest = now = 0
    for is_below in drawdown(result, start) > 0.0:
        now = now + 1 if is_below else 0
        longest = max(longest, now)
    return longest


def calmar(returns: Floats, per_year: float) -> float | None:
    """Compound return by the year over the deepest relative drawdown, of returns (Young 1991)."""
    if not len(returns):
        return None
    equity = np.cumprod(1.0 + returns)
    if equity[-1] <= 0.0:
        return None
    deepest = float(relative_drawdown(np.concatenate([[1.0], equity])).max())
    growth = float(equity[-1]) ** (per_year / len(returns)) - 1.0
    return growth / deepest if deepest > 0.0 else None


def calmar_simple(changes: Floats, per_year: float) -> float | None:
    """The same of changes of money that is not reinvested: mean change by the year over the deepest drawdown."""
    if not len(changes):
        return None
    deepest = float(drawdown(np.cumsum(changes)).max())
    return float(changes.mean()) * per_year / deepest if deepest > 0.0 else None


def skew(changes: Floats) -> float:
    """The third standardised moment of the sample as it is (no correction for its size)."""
    centred = changes - changes.mean()
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def kurtosis(changes: Floats) -> float:
    """The fourth standardised moment as it is: 3 for a normal distribution."""
    centred = changes - changes.mean()
    return float(np.mean(centred**4) / np.mean(centred**2) ** 2)


def probabilistic_sharpe(changes: Floats, benchmark: float = 0.0) -> float | None:
    """The probability that the true Sharpe ratio exceeds a benchmark, both by the step, not by the year.

    Takes length, skew and kurtosis into account (Bailey and López de Prado 2012, equation 9).
    """
    observed = sharpe(changes, 1.0)
    if observed is None:
        return None
    return probability_above(observed, len(changes), skew(changes), kurtosis(changes), benchmark)


def probability_above(observed: float, steps: int, skew: float, kurtosis: float, benchmark: float) -> float | None:
    """`probabilistic_sharpe` of a Sharpe ratio by the step, from the moments of what it was observed on."""
    spread = 1.0 - skew * observed + (kurtosis - 1.0) / 4.0 * observed * observed
    if spread <= 0.0:
        return None
    return _NORMAL.cdf((observed - benchmark) * math.sqrt(steps - 1) / math.sqrt(spread))


def best_sharpe_expected(trials: int, deviation: float) -> float:
    """What the best of so many independent trials without any skill shows, when Sharpe ratios scatter by `deviation`
    (Bailey and López de Prado 2014): an approximation, 1 to 2 in 100 above the truth for some tens of trials."""
    if trials < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return deviation * ((1.0 - _EULER) * first + _EULER * second)


def deflated_sharpe(changes: Floats, trials: int, trials_deviation: float) -> float | None:
    """The probability that the true Sharpe ratio is above what the best of `trials` would show by luck.

    Args:
        changes: Of the one that was chosen.
        trials: How many were tried, as if independent: too many, if they resemble one another, which errs against us.
        trials_deviation: Deviation of the Sharpe ratios of all of them, by the step.
    """
    return probabilistic_sharpe(changes, best_sharpe_expected(trials, trials_deviation))


def turnover(traded: float, capital: float, years: float) -> float | None:
    """How often the capital is traded in a year: value of all fills (buys and sells) over capital and time."""
    return traded / capital / years if capital > 0.0 and years > 0.0 else None


class Capacity(NamedTuple):
    """How far a strategy can grow before its own impact eats what it earns."""

    scale_best: float
    """Times today's size at which it earns most in money."""
    scale_max: float
    """Times today's size from which it loses."""


def capacity(edge: float, volatility: float, participation: float, coefficient: float = 1.0) -> Capacity | None:
    """Bound a strategy's size by the square-root law: trading a share `p` of the volume costs `c · volatility · √p`.

    Earned at k times the size: `k · (edge - c · volatility · √(k · p))`, most at 4/9 of where it is zero.

    Args:
        edge: Net result per unit of value traded, at today's size, today's impact not in it.
        volatility: Relative price deviation over the time that `participation` is measured in (a day, usually).
        participation: Value traded by us as a share of everything traded, over that time.
        coefficient: Of the law: about 1 where it was measured.
    """
    if edge <= 0.0 or volatility <= 0.0 or participation <= 0.0:
        return None
    largest = (edge / (coefficient * volatility)) ** 2 / participation
    return Capacity(largest * 4.0 / 9.0, largest)


def _is_spread(deviation: float, changes: Floats) -> bool:
    """Whether a deviation is more than what rounding makes of equal numbers."""
    return deviation > 1e-14 * float(np.abs(changes).max(initial=0.0))
