"""Momentum: the relative strength index, and the convergence of two averages."""

from __future__ import annotations

from math import nan

import msgspec
import numpy as np

from engine.signals.averages import Ema, Floats, Wilder, ema, wilder


class Rsi(msgspec.Struct):
    """Wilder's relative strength index: what rose of all that moved, 0 to 100; 50 where nothing moves.

    J. W. Wilder, "New Concepts in Technical Trading Systems" (1978).
    """

    rises: Wilder
    falls: Wilder
    last: float | None = None

    @classmethod
    def of(cls, length: int) -> Rsi:
        """Make one over so many changes."""
        return cls(Wilder(length), Wilder(length))

    def update(self, value: float) -> float:
        """Take a price and return the index; NaN until `length` changes are known."""
        last, self.last = self.last, value
        if last is None:
            return nan
        change = value - last
        return strength(self.rises.update(max(change, 0.0)), self.falls.update(max(-change, 0.0)))


def strength(rise: float, fall: float) -> float:
    """Give the index of two means."""
    moved = rise + fall
    return 50.0 if moved == 0.0 else 100.0 * rise / moved


class Macd(msgspec.Struct):
    """Difference of a fast and a slow exponential mean, and how far it is above its own mean (the histogram)."""

    fast: Ema
    slow: Ema
    signal: Ema
    count: int = 0

    @classmethod
    def of(cls, fast: int, slow: int, signal: int) -> Macd:
        """Make one of its three lengths."""
        return cls(Ema(fast), Ema(slow), Ema(signal))

    def update(self, value: float) -> float:
        """Take a price and return the histogram; NaN until slow and signal lengths have gone by."""
        self.count += 1
        difference = self.fast.update(value) - self.slow.update(value)
        histogram = difference - self.signal.update(difference)
        return histogram if self.is_known else nan

    @property
    def is_known(self) -> bool:
        return self.count >= self.slow.length + self.signal.length


def macd(values: Floats, fast: int, slow: int, signal: int) -> Floats:
    """Give `Macd`'s histogram at each value."""
    difference: Floats = ema(values, fast) - ema(values, slow)
    histogram: Floats = difference - ema(difference, signal)
    histogram[: slow + signal - 1] = nan
    return histogram


def rsi(values: Floats, length: int) -> Floats:
    """Give `Rsi` at each value."""
    changes = np.diff(values)
    rise, fall = wilder(np.maximum(changes, 0.0), length), wilder(np.maximum(-changes, 0.0), length)
    moved = rise + fall
    index = np.full(len(moved), 50.0)
    np.divide(100.0 * rise, moved, out=index, where=moved != 0.0)
    return np.concatenate([np.full(min(len(values), 1), nan), index])
