"""Moving averages: simple and exponential."""

from __future__ import annotations

from itertools import accumulate
from math import nan

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class RollingSum(msgspec.Struct):
    """The sum of the last `length` values: each comes in, the one that leaves goes out."""

    length: int
    total: float = 0.0
    values: list[float] = msgspec.field(default_factory=list)
    place: int = 0
    """Of the oldest value, once there are enough."""

    @property
    def is_full(self) -> bool:
        return len(self.values) == self.length

    def update(self, value: float) -> float:
        """Take a value and return the sum; of fewer values at the beginning."""
        if len(self.values) < self.length:
            self.values.append(value)
            self.total += value
        else:
            self.total += value - self.values[self.place]
            self.values[self.place] = value
            self.place = (self.place + 1) % self.length
        return self.total


def rolling_sum(values: Floats, length: int) -> Floats:
    """Give `RollingSum` at each value, of fewer at the beginning."""
    changes = np.array(values, np.float64)
    changes[length:] -= values[:-length]
    return np.cumsum(changes)  # NumPy accumulates in order, as the class does.


class Sma(msgspec.Struct, tag=True):
    """The mean of the last values."""

    sum: RollingSum

    @classmethod
    def of(cls, length: int) -> Sma:
        """Make one over so many values."""
        return cls(RollingSum(length))

    def update(self, value: float) -> float:
        """Take a value and return the mean; NaN until there are enough."""
        total = self.sum.update(value)
        return total / self.sum.length if self.sum.is_full else nan


def sma(values: Floats, length: int) -> Floats:
    """Give `Sma` at each value."""
    means: Floats = rolling_sum(values, length) / length
    means[: length - 1] = nan
    return means


class Ema(msgspec.Struct, tag=True):
    """The exponential mean with weight 2 / (length + 1), begun at the first value."""

    length: int
    value: float = 0.0
    count: int = 0

    def update(self, value: float) -> float:
        """Take a value and return the mean: known from the first value on, settled after some lengths."""
        self.count += 1
        self.value = value if self.count == 1 else self.value + 2 / (self.length + 1) * (value - self.value)
        return self.value


def ema(values: Floats, length: int) -> Floats:
    """Give `Ema` at each value."""
    return smoothed(values, 2 / (length + 1))


class Wilder(msgspec.Struct):
    """Wilder's mean: plain over the first `length` values, then moved towards each next one by 1 / length."""

    length: int
    value: float = 0.0
    count: int = 0

    @property
    def is_known(self) -> bool:
        return self.count == self.length

    def update(self, value: float) -> float:
        """Take a value and return the mean; NaN until there are `length`."""
        if self.count < self.length:
            self.count += 1
            self.value += value
            if self.count < self.length:
                return nan
            self.value /= self.length
        else:
            self.value += 1 / self.length * (value - self.value)
        return self.value


def wilder(values: Floats, length: int) -> Floats:
    """Give `Wilder` at each value."""
    if len(values) < length:
        return np.full(len(values), nan)
    first = np.cumsum(values[:length])[-1:] / length
    known = smoothed(np.concatenate([first, values[length:]]), 1 / length)
    return np.concatenate([np.full(length - 1, nan), known])


def smoothed(values: Floats, weight: float) -> Floats:
    """Move from the first value towards each next one by a weight."""
    return np.array(list(accumulate(values.tolist(), lambda mean, value: mean + weight * (value - mean))))
