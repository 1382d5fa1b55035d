"""What bars reached: highest and lowest of the last ones, and the average true range."""

from __future__ import annotations

from math import nan

import msgspec
import numpy as np

from engine.signals.averages import Floats, Wilder, wilder


class Highest(msgspec.Struct):
    """The highest of the last `length` values."""

    length: int
    peaks: list[tuple[int, float]] = msgspec.field(default_factory=list)
    """Values that may still be the highest, with their numbers: each lower than the one before."""
    count: int = 0

    def update(self, value: float) -> float:
        """Take a value and return the highest; NaN until there are enough."""
        while self.peaks and self.peaks[-1][1] <= value:
            self.peaks.pop()
        self.peaks.append((self.count, value))
        self.count += 1
        if self.peaks[0][0] < self.count - self.length:
            del self.peaks[0]
        return self.peaks[0][1] if self.count >= self.length else nan


class Lowest(msgspec.Struct):
    """The lowest of the last `length` values."""

    negated: Highest

    @classmethod
    def of(cls, length: int) -> Lowest:
        """Make one over so many values."""
        return cls(Highest(length))

    def update(self, value: float) -> float:
        """Take a value and return the lowest; NaN until there are enough."""
        return -self.negated.update(-value)


def highest(values: Floats, length: int) -> Floats:
    """Give `Highest` at each value."""
    if len(values) < length:
        return np.full(len(values), nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    return np.concatenate([np.full(length - 1, nan), windows.max(axis=1)])


def lowest(values: Floats, length: int) -> Floats:
    """Give `Lowest` at each value."""
    return -highest(-values, length)


class Atr(msgspec.Struct):
    """Wilder's average true range: of a bar, reaching to the close before it. The first bar counts as its own range."""

    mean: Wilder
    last: float | None = None

    @classmethod
    def of(cls, length: int) -> Atr:
        """Make one over so many bars."""
        return cls(Wilder(length))

    def update(self, high: float, low: float, close: float) -> float:
        """Take a bar and return the average; NaN until there are `length`."""
        last, self.last = self.last, close
        if last is not None:
            high, low = max(high, last), min(low, last)
        return self.mean.update(high - low)


def atr(high: Floats, low: Floats, close: Floats, length: int) -> Floats:
    """Give `Atr` at each bar."""
    before = close[:-1]
    ranges = np.array(high - low, np.float64)
    ranges[1:] = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    return wilder(ranges, length)
