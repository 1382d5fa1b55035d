"""Bars of equal time, built from an instrument's public trades: the live twin of `strategies/time_bars.rs`.

Intervals are counted from 1970 by our own clock, as it stands in the journal. A bar is over at the first trade or tick
at or after its end. The interval in which the first trade came is not told: its beginning was not seen. Without trades
the price stands: such bars have no volume. After a restart the bar that was open goes on with what came meanwhile
missing, and intervals that passed wholly in between are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

FLAT_BARS_MAX: Final = 1_440
"""Bars without a trade that are told in a row; after more the series begins anew."""


class TimeBar(NamedTuple):
    """One finished bar. Ticks and lots."""

    end_ns: int
    open: int
    high: int
    low: int
    close: int
    size: int


class TimeBars:
    """One instrument's bars of `every_ns`."""

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._end_ns = 0
        self._open = self._high = self._low = self._close = self._size = 0
        self._is_whole = False
        self._resumed_ns = 0

    def over(self, now_ns: int) -> Iterator[TimeBar]:
        """Give every bar that is over, oldest first."""
        while self._end_ns and now_ns >= self._end_ns:
            done = TimeBar(self._end_ns, self._open, self._high, self._low, self._close, self._size)
            was_whole, self._is_whole = self._is_whole, True
            self._end_ns += self._every_ns
            if self._resumed_ns >= self._end_ns:
                self._end_ns = self._end_after(self._resumed_ns)
            elif (now_ns - done.end_ns) // self._every_ns > FLAT_BARS_MAX:
                self._end_ns, self._is_whole = 0, False
            self._open = self._high = self._low = self._close
            self._size = 0
            if was_whole:
                yield done

    def trade(self, now_ns: int, price: int, size: int) -> None:
        """Take one trade, once `over` gives no more."""
        if self._end_ns == 0:
            self._end_ns, self._size = self._end_after(now_ns), 0
        if self._size == 0:
            self._open = self._high = self._low = price
        self._high, self._low = max(self._high, price), min(self._low, price)
        self._close = price
        self._size += size

    def resume(self, now_ns: int) -> None:
        """Another process goes on from here: between the last trade and now nobody looked."""
        self._resumed_ns = now_ns

    def _end_after(self, now_ns: int) -> int:
        return (now_ns // self._every_ns + 1) * self._every_ns
