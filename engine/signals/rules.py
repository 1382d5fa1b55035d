"""Which side to be on: long (1), flat (0) or short (-1), decided at each bar's close from bars that are over.

A rule keeps its side until something else is true; before its indicators are known it is flat. The classes update bar
by bar, the functions give the side at every bar of an array, and `native/core/src/batch/rules.rs` does the same.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from engine.signals.averages import Ema, Floats, Sma, ema, sma
from engine.signals.momentum import Macd, Rsi, macd, rsi, strength
from engine.signals.ranges import Highest, Lowest, highest, lowest

Sides = npt.NDArray[np.int8]
BPS = 10_000.0


class Rule(Protocol):
    """What decides on a side."""

    side: int

    def update(self, high: float, low: float, close: float) -> int:
        """Take a finished bar and return the side to be on."""
        ...

    def inputs(self) -> dict[str, float]:
        """Name what the last decision was made of; nothing before it is known."""
        ...


class MovingAverages(msgspec.Struct, tag=True):
    """Long while the fast mean is above the slow one by a band, short while it is below by as much, else as before."""

    fast: Sma | Ema
    slow: Sma | Ema
    count_min: int
    band_bps: float = 0.0
    side: int = 0
    count: int = 0

    @classmethod
    def of(cls, fast: int, slow: int, *, band_bps: float = 0.0, exponential: bool = False) -> MovingAverages:
        """Make one; exponential means count once the slow length has gone by."""
        if exponential:
            return cls(Ema(fast), Ema(slow), slow, band_bps)
        return cls(Sma.of(fast), Sma.of(slow), slow, band_bps)

    def update(self, high: float, low: float, close: float) -> int:
        fast, slow = self.fast.update(close), self.slow.update(close)
        self.count += 1
        if self.count >= self.count_min:
            band = slow * (self.band_bps / BPS)
            if fast > slow + band:
                self.side = 1
            elif fast < slow - band:
                self.side = -1
        return self.side

    def inputs(self) -> dict[str, float]:
        return {"fast": _mean(self.fast), "slow": _mean(self.slow)} if self.count >= self.count_min else {}


def _mean(of: Sma | Ema) -> float:
    return of.value if isinstance(of, Ema) else of.sum.total / of.sum.length


def moving_average_sides(
    close: Floats, fast: int, slow: int, *, band_bps: float = 0.0, exponential: bool = False
) -> Sides:
    """Give `MovingAverages` at each close."""
    mean = ema if exponential else sma
    quick, lazy = mean(close, fast), mean(close, slow)
    lazy[: slow - 1] = np.nan
    band = lazy * (band_bps / BPS)
    return _kept(quick > lazy + band, quick < lazy - band)


class MacdTrend(msgspec.Struct, tag=True):
    """Long while the histogram is above a band around zero, short while it is below, else as before."""

    macd: Macd
    band_bps: float = 0.0
    """Of the price."""
    side: int = 0

    @classmethod
    def of(cls, fast: int, slow: int, signal: int, *, band_bps: float = 0.0) -> MacdTrend:
        return cls(Macd.of(fast, slow, signal), band_bps)

    def update(self, high: float, low: float, close: float) -> int:
        histogram, band = self.macd.update(close), close * (self.band_bps / BPS)
        if histogram > band:
            self.side = 1
        elif histogram < -band:
            self.side = -1
        return self.side

    def inputs(self) -> dict[str, float]:
        macd = self.macd
        return {"macd": macd.fast.value - macd.slow.value, "signal": macd.signal.value} if macd.is_known else {}


def macd_sides(close: Floats, fast: int, slow: int, signal: int, *, band_bps: float = 0.0) -> Sides:
    """Give `MacdTrend` at each close."""
    histogram, band = macd(close, fast, slow, signal), close * (band_bps / BPS)
    return _kept(histogram > band, histogram < -band)


class RsiLevels(msgspec.Struct, tag=True):
    """With the strength: long above `high`, short below `low`, else as before. Or against it: long below `low`, short
    above `high`, flat again when the index comes back to 50."""

    rsi: Rsi
    low: float
    high: float
    reverts: bool = False
    side: int = 0

    @classmethod
    def of(cls, length: int, *, low: float, high: float, reverts: bool = False) -> RsiLevels:
        return cls(Rsi.of(length), low, high, reverts)

    def update(self, high: float, low: float, close: float) -> int:
        index = self.rsi.update(close)
        if index > self.high:
            self.side = -1 if self.reverts else 1
        elif index < self.low:
            self.side = 1 if self.reverts else -1
        elif self.reverts and ((self.side > 0 and index >= 50.0) or (self.side < 0 and index <= 50.0)):
            self.side = 0
        return self.side

    def inputs(self) -> dict[str, float]:
        rises, falls = self.rsi.rises, self.rsi.falls
        return {"rsi": strength(rises.value, falls.value)} if rises.is_known else {}


def rsi_sides(close: Floats, length: int, *, low: float, high: float, reverts: bool = False) -> Sides:
    """Give `RsiLevels` at each close; `low` is below 50, `high` above."""
    index = rsi(close, length)
    if not reverts:
        return _kept(index > high, index < low)
    bought = _held(index < low, index >= 50.0)
    sold = _held(index > high, index <= 50.0)
    return bought - sold


class Breakout(msgspec.Struct, tag=True):
    """Long when the close is above everything of the last `enter` bars, flat when it falls below the last `leave` bars'
    lows; short alike. Donchian's channel with a nearer exit."""

    above: Highest
    below: Lowest
    leave_above: Highest
    leave_below: Lowest
    side: int = 0
    edges: tuple[float, float, float, float] | None = None
    """Of the bars up to now: the channel to enter by, the channel to leave by; nothing until they are known."""
    before: tuple[float, float, float, float] | None = None
    """The edges that the last close was compared with."""

    @classmethod
    def of(cls, enter: int, leave: int) -> Breakout:
        """Make one; `leave` is at most `enter`."""
        return cls(Highest(enter), Lowest.of(enter), Highest(leave), Lowest.of(leave))

    def update(self, high: float, low: float, close: float) -> int:
        self.before = self.edges
        if self.edges is not None:
            above, below, leave_above, leave_below = self.edges
            if close > above:
                self.side = 1
            elif close < below:
                self.side = -1
            elif (self.side > 0 and close < leave_below) or (self.side < 0 and close > leave_above):
                self.side = 0
        edges = (
            self.above.update(high),
            self.below.update(low),
            self.leave_above.update(high),
            self.leave_below.update(low),
        )
        self.edges = edges if self.above.count >= self.above.length else None
        return self.side

    def inputs(self) -> dict[str, float]:
        names = ("above", "below", "leave_above", "leave_below")
        return dict(zip(names, self.before, strict=True)) if self.before is not None else {}


def breakout_sides(high: Floats, low: Floats, close: Floats, enter: int, leave: int) -> Sides:
    """Give `Breakout` at each bar; `leave` is at most `enter`."""
    above, below = _before(highest(high, enter)), _before(lowest(low, enter))
    leave_above, leave_below = _before(highest(high, leave)), _before(lowest(low, leave))
    bought = _held(close > above, close < leave_below)
    sold = _held(close < below, close > leave_above)
    return bought - sold


def _before(values: Floats) -> Floats:
    """What was known a bar earlier."""
    return np.concatenate([np.full(min(len(values), 1), np.nan), values[:-1]])


def _kept(long: npt.NDArray[np.bool_], short: npt.NDArray[np.bool_]) -> Sides:
    """The side last said."""
    return _last_said(np.where(long, 1, np.where(short, -1, 2)))


def _held(enters: npt.NDArray[np.bool_], leaves: npt.NDArray[np.bool_]) -> Sides:
    """1 from where it enters until it leaves, else 0."""
    return _last_said(np.where(enters, 1, np.where(leaves, 0, 2)))


def _last_said(said: npt.NDArray[np.int64]) -> Sides:
    """Each value, or the last before it that is not 2, or 0."""
    places = np.where(said == 2, -1, np.arange(len(said)))
    last = np.maximum.accumulate(places)
    sides: Sides = np.where(last < 0, 0, said[last]).astype(np.int8)
    return sides
