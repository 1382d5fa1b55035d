"""Percentage of volume: as much as a share of what the market trades, seen after it has traded.

The market's volume is what public trades tell since the beginning. Where an exchange's own feed contains our trades
(live), they count as the market's; a recording does not know them, so there the share of all trading comes out smaller:
p / (1 + p).
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from engine.execution.paced import Pace, Paced
from engine.execution.schedules import Linear
from engine.sdk import Context, Trades


class Participating(Paced):
    """A parent order that follows the market's volume. See `engine.execution.paced` for slices.

    What has traded may be followed by resting; what had traded at the beginning of the slice must be done.
    """

    saved: ClassVar[tuple[str, ...]] = (*Paced.saved, "volume_before", "slice", "largest")

    def __init__(self, side: int, share: Decimal, duration_ns: int, pace: Pace) -> None:
        super().__init__(side, Linear(duration_ns), pace)
        self._share = share.as_integer_ratio()
        self.volume_before = 0
        """Lots the market traded until the end of the last slice."""
        self.slice = 0
        self.largest = 0
        """Lots that belong to the largest slice's volume."""

    @property
    def volume(self) -> int:
        """Lots the market traded since the beginning."""
        return self.tally.tape_lots

    def target(self, volume: int) -> int:
        """Return the lots that belong to a volume, down."""
        return min(self.total, volume * self._share[0] // self._share[1])

    def follow(self, ctx: Context, trades: Trades) -> None:
        self._cut(ctx)
        super().follow(ctx, trades)
        self.advance(ctx)

    def compare(self, ctx: Context) -> None:
        if ctx.now_ns >= self.begun_ns:
            self.tally.deviate(self.done - self.target(self.volume))

    def bounds(self, ctx: Context) -> tuple[int, int]:
        self._cut(ctx)
        may = self.target(self.volume)
        must = self.target(self.volume_before) if self.pace.is_passive else may
        if self.pace.is_complete and ctx.now_ns >= self.begun_ns + self.schedule.duration_ns:
            return self.total, self.total
        return must, may

    def slice_max(self) -> int:
        return max(self.largest, self.target(self.volume) - self.target(self.volume_before))

    def _cut(self, ctx: Context) -> None:
        now = (ctx.now_ns - self.begun_ns) // self.pace.every_ns
        if now != self.slice:
            self.largest = self.slice_max()
            self.slice, self.volume_before = now, self.volume
