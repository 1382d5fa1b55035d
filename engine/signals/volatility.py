"""Volatility of returns from one value to the next."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from engine.signals.averages import Floats, RollingSum, rolling_sum


class Volatility(msgspec.Struct):
    """The root of the mean square of the last `length` simple returns; their mean counts as zero."""

    squares: RollingSum
    last: float | None = None

    @classmethod
    def of(cls, length: int) -> Volatility:
        """Make one over so many returns."""
        return cls(RollingSum(length))

    def update(self, value: float) -> float:
        """Take a price and return the volatility; NaN until `length` returns are known."""
        last, self.last = self.last, value
        if last is None:
            return math.nan
        change = value / last - 1.0
        total = self.squares.update(change * change)
        # What goes out was rounded when it came in: of nothing but zeros a trace may remain, and below zero.
        return math.sqrt(max(total, 0.0) / self.squares.length) if self.squares.is_full else math.nan


def volatility(values: Floats, length: int) -> Floats:
    """Give `Volatility` at each value."""
    changes = values[1:] / values[:-1] - 1.0
    found: Floats = np.sqrt(np.maximum(rolling_sum(changes * changes, length), 0.0) / length)
    found[: length - 1] = math.nan
    return np.concatenate([np.full(min(len(values), 1), math.nan), found])
