"""Copy trading: a follower's account holds what a leader holds, on a scale and within limits of its own.

The leader is another strategy of the run. What it gained in the run, times `scale`, no further than
`position_max`, is what the follower wants; the difference is taken at once, immediate-or-cancel, no further than
`slippage_max_bps` from the mid at which the change was noticed. What adds to a position and is not done within
`latency_ms_max` is missed for good: a price that has gone is not run after. What reduces is never late: it goes on at
the market's present price until it is done. Every follower is a strategy of its own, with its own share of the capital.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from engine.sdk import BookView, Context
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.rounding import held_to, lots_down, ticks_down, ticks_up

_MILLISECOND = 1_000_000
_BPS = 10_000


class CopyTradingSettings(CatalogSettings):
    """See the module."""

    kind: Literal["copy-trading"] = "copy-trading"
    leader: str = Field(pattern=r"[a-z0-9-]{1,16}")
    """The id of the strategy that is followed."""
    leader_instrument: str
    """What of the leader's is followed."""
    instrument: str
    """Where the follower trades: the same market at another account, or another market of the same asset."""
    scale: Positive = Decimal(1)
    """Base units of the follower for each of the leader's."""
    position_max: Positive
    """Base units held or owed at most, whatever the leader holds."""
    slippage_max_bps: NotNegative = Decimal(10)
    """How far from the mid at which the change was noticed, or for what reduces from the present one, it may trade."""
    latency_ms_max: int = Field(default=2_000, gt=0)
    """For how long after a change was noticed the follower may add to its position."""
    retry_ms: int = Field(default=100, ge=0)
    """Between two orders."""

    fixed: ClassVar[tuple[str, ...]] = ("leader",)

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument, self.leader_instrument)


class CopyTrading(CatalogStrategy[CopyTradingSettings]):
    """See the module."""

    saved = ("_target", "_noticed_ns", "_reference", "_is_missed", "_order", "_not_before_ns")

    def __init__(self, settings: CopyTradingSettings) -> None:
        super().__init__(settings)
        self._target = 0
        self._noticed_ns = 0
        self._reference = 0.0
        self._is_missed = False
        self._order: int | None = None
        self._not_before_ns = 0

    def on_start(self, ctx: Context) -> None:
        self._ours = ctx.instrument(self.settings.instrument)
        self._theirs = ctx.instrument(self.settings.leader_instrument)
        ctx.position_of(self.settings.leader, self._theirs)  # A leader that is not there is found now.

    def on_book(self, ctx: Context, book: BookView) -> None:
        ours = ctx.book(self._ours)
        if not ours.is_valid or ctx.stopping or ctx.halted:
            return
        self._notice(ctx, ours)
        if ctx.now_ns < self._not_before_ns or (self._order is not None and ctx.is_open(self._order)):
            return
        position = ctx.position(self._ours)
        change, is_adding = _next_change(position, self._target)
        if not change or (is_adding and self._is_late(ctx, change)):
            return
        mid = (ours.bid + ours.ask) / 2
        if abs(change) * mid * ctx.tick(self._ours) * ctx.lot(self._ours) < ctx.terms(self._ours).min_notional:
            return
        far = float(self.settings.slippage_max_bps) / _BPS
        from_price = self._reference if is_adding else mid
        limit = ticks_down(from_price * (1 + far), 1.0) if change > 0 else ticks_up(from_price * (1 - far), 1.0)
        self._not_before_ns = ctx.now_ns + self.settings.retry_ms * _MILLISECOND
        self._order = ctx.take(self._ours, 0 if change > 0 else 1, limit, abs(change))

    def _notice(self, ctx: Context, ours: BookView) -> None:
        """Take over what the leader holds now."""
        gained = ctx.position_of(self.settings.leader, self._theirs)
        units = held_to(float(self.settings.scale) * gained * ctx.lot(self._theirs), float(self.settings.position_max))
        lots = lots_down(abs(units), ctx.lot(self._ours))
        target = lots if units > 0 else -lots
        if target == self._target:
            return
        self._target, self._noticed_ns, self._is_missed = target, ctx.now_ns, False
        self._reference = (ours.bid + ours.ask) / 2
        self._not_before_ns = 0
        ctx.signal("target", target * ctx.lot(self._ours), leader_lots=gained, mid_ticks=self._reference)

    def _is_late(self, ctx: Context, change: int) -> bool:
        """Whether the time to add is over; said once."""
        waited_ms = (ctx.now_ns - self._noticed_ns) // _MILLISECOND
        if not self._is_missed and waited_ms > self.settings.latency_ms_max:
            self._is_missed = True
            ctx.signal("missed", change * ctx.lot(self._ours), waited_ms=waited_ms, target_lots=self._target)
        return self._is_missed


def _next_change(position: int, target: int) -> tuple[int, bool]:
    """The next change in lots, and whether it adds to a position: through zero it reduces first, and adds after."""
    change = target - position
    if position and (target > 0) != (position > 0):
        return -position, False
    return change, abs(target) > abs(position)
