"""Whether two prices belong together: least squares, the augmented Dickey–Fuller test, Engle and Granger's, half-lives.

Engle and Granger (1987): y = α + β·x + e by least squares; where y and x wander but e does not, they are cointegrated.
Whether e wanders is the Dickey–Fuller statistic of Δe on the e before it (and on lagged Δe), without a constant, since
e has mean zero. It is not t-distributed, and since e was fitted it is not Dickey–Fuller-distributed either: critical
values are MacKinnon's response surfaces (2010, table 2, two variables, constant), p-values his approximation (1994).

Sums are `math.fsum`, which rounds once: the same series gives the same bits with every Python and every machine, so a
strategy may decide on a statistic. (A p-value asks the C library for `erfc`: it is for people.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import Final, Literal

from domain import InputError
from engine.sdk.floats import LN2, ln

Level = Literal["1%", "5%", "10%"]

# MacKinnon (2010): critical value = b0 + b1/T + b2/T² + b3/T³, with a constant, by number of variables.
_CRITICAL: Final[dict[int, dict[Level, tuple[float, ...]]]] = {
    1: {
        "1%": (-3.43035, -6.5393, -16.786, -79.433),
        "5%": (-2.86154, -2.8903, -4.234, -40.04),
        "10%": (-2.56677, -1.5384, -2.809, 0.0),
    },
    2: {
        "1%": (-3.89644, -10.9519, -33.527, 0.0),
        "5%": (-3.33613, -6.1101, -6.823, 0.0),
        "10%": (-3.04445, -4.2412, -2.72, 0.0),
    },
}
# MacKinnon (1994): p = Φ(polynomial of the statistic), one polynomial left of a bound and another right of it.
_LEAST: Final = {1: -18.83, 2: -18.86}
_BOUND: Final = {1: -1.61, 2: -2.62}
_MOST: Final = {1: 2.74, 2: 0.92}
_LEFT: Final = {1: (2.1659, 1.4412, 0.038269), 2: (2.92, 1.5012, 0.039796)}
_RIGHT: Final = {1: (1.7339, 0.93202, -0.12745, -0.010368), 2: (2.1945, 0.64695, -0.29198, -0.042377)}
COLLINEAR: Final = 1e-12
"""Share of y that a fit leaves below which nothing is left to be tested."""


@dataclass(frozen=True, slots=True)
class Line:
    """y = alpha + beta·x by least squares."""

    alpha: float
    beta: float
    residuals: tuple[float, ...]
    r_squared: float


@dataclass(frozen=True, slots=True)
class Cointegration:
    """What Engle and Granger's test found."""

    line: Line
    statistic: float
    observations: int
    halflife: float
    """Steps in which a deviation halves; infinite where it does not."""

    @property
    def p_value(self) -> float:
        return p_value(self.statistic, variables=2)

    def critical(self, level: Level) -> float:
        # One observation less, as Stata's egranger and statsmodels count.
        return critical_value(level, variables=2, observations=self.observations - 1)

    def holds(self, level: Level) -> bool:
        """Whether "not cointegrated" is refused at a level."""
        return self.statistic < self.critical(level)


def fit_line(y: Sequence[float], x: Sequence[float]) -> Line:
    """Fit by least squares.

    Raises:
        InputError: Different lengths, fewer than three points, or x that does not vary.
    """
    n = len(y)
    if n != len(x) or n < 3:
        raise InputError(f"a line needs two series of one length from three on, found {n} and {len(x)}")
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    dx, dy = [v - mean_x for v in x], [v - mean_y for v in y]
    sxx, syy = _dot(dx, dx), _dot(dy, dy)
    if sxx <= 0.0:
        raise InputError("a line needs an x that varies")
    beta = _dot(dx, dy) / sxx
    residuals = tuple(b - beta * a for a, b in zip(dx, dy, strict=True))
    left = _dot(residuals, residuals)
    return Line(mean_y - beta * mean_x, beta, residuals, 1.0 - left / syy if syy > 0.0 else 0.0)


def dickey_fuller(series: Sequence[float], *, lags: int = 0, constant: bool = True) -> float:
    """Return the t-statistic of the level in Δs on the level before, lagged Δs and, if asked for, a constant.

    The further below zero, the less it wanders. `lags` take up serial correlation of Δs.

    Raises:
        InputError: Too short for so many lags, or a series that a regression of itself explains whole.
    """
    steps = [after - before for before, after in pairwise(series)]
    count = len(steps) - lags
    columns = [list(series[lags : lags + count])]
    columns += [steps[lags - lag : lags - lag + count] for lag in range(1, lags + 1)]
    if constant:
        columns.append([1.0] * count)
    if lags < 0 or count <= len(columns):
        raise InputError(f"{len(series)} values are too few for a test with {lags} lags")
    wanted = steps[lags:]
    gram = [[_dot(a, b) for b in columns] for a in columns]
    inverse = _inverse(gram)
    right = [_dot(column, wanted) for column in columns]
    found = [_dot(row, right) for row in inverse]
    residuals = [w - math.fsum(c[at] * f for c, f in zip(columns, found, strict=True)) for at, w in enumerate(wanted)]
    variance = _dot(residuals, residuals) / (count - len(columns))
    error = variance * inverse[0][0]
    if error <= 0.0:
        raise InputError("the series is explained by itself whole: nothing is left to test")
    return found[0] / math.sqrt(error)


def engle_granger(y: Sequence[float], x: Sequence[float], *, lags: int = 1) -> Cointegration:
    """Test whether y and x (log prices, mostly) are cointegrated.

    Raises:
        InputError: Too short, x does not vary, or y is x times a number (then nothing is left to test).
    """
    line = fit_line(y, x)
    if 1.0 - line.r_squared < COLLINEAR:
        raise InputError("the two series are one: the fit leaves nothing to test")
    statistic = dickey_fuller(line.residuals, lags=lags, constant=False)
    return Cointegration(line, statistic, len(y), halflife(line.residuals))


def halflife(series: Sequence[float]) -> float:
    """Return the steps in which a deviation from the mean halves, of s = c + φ·(s before) + noise: ln ½ / ln φ.

    Infinite where φ is 1 or more (it does not come back); 0 where φ is 0 or less (it is back at once).
    """
    persistence = fit_line(series[1:], series[:-1]).beta
    if persistence >= 1.0:
        return math.inf
    return -LN2 / ln(persistence) if persistence > 0.0 else 0.0


def critical_value(level: Level, *, variables: int, observations: int) -> float:
    """Return MacKinnon's critical value (2010): `variables` 1 for Dickey–Fuller, 2 for a pair; with a constant."""
    return math.fsum(b / observations**power for power, b in enumerate(_CRITICAL[variables][level]))


def p_value(statistic: float, *, variables: int) -> float:
    """Return MacKinnon's approximate p-value (1994), asymptotic; with a constant."""
    if statistic > _MOST[variables]:
        return 1.0
    if statistic < _LEAST[variables]:
        return 0.0
    terms = _LEFT[variables] if statistic <= _BOUND[variables] else _RIGHT[variables]
    z = math.fsum(b * statistic**power for power, b in enumerate(terms))
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(map(mul, a, b))


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Invert a small symmetric positive matrix by Gauss and Jordan, the largest pivot first."""
    n = len(matrix)
    rows = [[*row, *(1.0 if at == i else 0.0 for i in range(n))] for at, row in enumerate(matrix)]
    for at in range(n):
        best = max(range(at, n), key=lambda i: abs(rows[i][at]))
        rows[at], rows[best] = rows[best], rows[at]
        pivot = rows[at][at]
        if pivot == 0.0:
            raise InputError("the series is explained by itself whole: nothing is left to test")
        rows[at] = [value / pivot for value in rows[at]]
        for other in range(n):
            if other != at and (factor := rows[other][at]):
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[at], strict=True)]
    return [row[n:] for row in rows]
