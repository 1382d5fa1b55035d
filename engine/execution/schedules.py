"""How much of a parent order should be done by when: pure functions from the time since its start to lots.

Time-based schedules are fixed when the order begins; participation follows what the market trades. Rounded down, and
whole at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from math import lcm, sqrt
from typing import Final, Protocol

from engine.sdk.floats import LN2, half_to_the, ln

_FLAT: Final = 1e-6


class Schedule(Protocol):
    """Cumulative lots of a parent order over its time."""

    @property
    def duration_ns(self) -> int: ...
    def by(self, total: int, after_ns: int) -> int:
        """Return the lots of `total` that should be done this long after the start."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """The same amount in the same time: TWAP."""

    duration_ns: int

    def by(self, total: int, after_ns: int) -> int:
        return total * min(max(after_ns, 0), self.duration_ns) // self.duration_ns


class Curve:
    """In proportion to a volume curve over equal parts of the time, straight inside a part: VWAP."""

    def __init__(self, duration_ns: int, weights: Sequence[Decimal]) -> None:
        """`weights` are relative volumes of the parts, at least one of them positive."""
        scale = lcm(*(weight.as_integer_ratio()[1] for weight in weights))
        self.duration_ns = duration_ns
        self._sums = [0, *accumulate(int(weight * scale) for weight in weights)]

    def by(self, total: int, after_ns: int) -> int:
        if after_ns >= self.duration_ns:
            return total
        parts = len(self._sums) - 1
        at, within = divmod(max(after_ns, 0) * parts, self.duration_ns)
        low, high = self._sums[at], self._sums[at + 1]
        return total * (low * self.duration_ns + (high - low) * within) // (self._sums[-1] * self.duration_ns)


class AlmgrenChriss:
    """The trajectory that minimises expected cost plus `risk_aversion` times its variance: implementation shortfall.

    R. Almgren and N. Chriss, Optimal Execution of Portfolio Transactions (2000): with temporary impact linear in the
    rate of trading, what is left after j of N steps of length tau is X sinh(kappa (T - t_j)) / sinh(kappa T), where
    cosh(kappa tau) = 1 + tau^2 risk_aversion volatility^2 / (2 impact). Without risk aversion it is TWAP.
    """

    def __init__(
        self, duration_ns: int, step_ns: int, *, risk_aversion: float, volatility: float, impact: float
    ) -> None:
        """Make the trajectory.

        Args:
            duration_ns: T.
            step_ns: tau.
            risk_aversion: Per quote unit.
            volatility: Quote units of the price per square root of a second.
            impact: Quote units of the price per base unit a second: eta.
        """
        self.duration_ns = duration_ns
        tau = step_ns / 1e9
        cosh = 1.0 + tau * tau * risk_aversion * volatility * volatility / (2.0 * impact)
        self.kappa = ln(cosh + sqrt((cosh - 1.0) * (cosh + 1.0))) / tau
        """Per second: how fast what is left decays."""

    def left(self, after_ns: int) -> float:
        """Return the share that is still to be done."""
        after_s, whole_s = after_ns / 1e9, self.duration_ns / 1e9
        if after_s >= whole_s:
            return 0.0
        if self.kappa * whole_s < _FLAT:
            return 1.0 - after_s / whole_s
        # sinh(a) / sinh(b) by decays alone, which do not overflow.
        decay = _exp_minus(self.kappa * after_s)
        end, rest = _exp_minus(2.0 * self.kappa * whole_s), _exp_minus(2.0 * self.kappa * (whole_s - after_s))
        return decay * (1.0 - rest) / (1.0 - end)

    def by(self, total: int, after_ns: int) -> int:
        if after_ns >= self.duration_ns:
            return total
        # A billionth of a lot too little is none: the sum of roundings must not take a whole lot at a bound.
        return min(total, max(0, int(total * (1.0 - self.left(max(after_ns, 0))) + 1e-9)))


def _exp_minus(x: float) -> float:
    """e to the minus x, the same on every machine."""
    return half_to_the(x / LN2)
