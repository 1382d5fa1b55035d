"""What the trend strategies have in common: at each bar's close a rule names a side, a sizing rule how much of it.

The size is that of the moment the side changed, and stays until it changes again, or a stop is hit: a trend that is
held is not traded. A side that sizing gives nothing for (no edge by Kelly) is flat, and tried again at the next bar.
What the position lacks is taken at once, immediate-or-cancel, no further from the touch than `limit_bps`; what that did
not get is tried for again at the next bar. `engine.research.bar_runs` runs the same rules over many parameters.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self, TypeVar

import msgspec
from pydantic import Field, model_validator

from engine.sdk import Context, EventView
from engine.signals import Atr, Volatility
from engine.signals.averages import RollingSum
from engine.signals.rules import Rule
from engine.sizing import FixedFractionalSizing, FixedFractionSizing, Sizing, SizingInputs, lots_down
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive

Length = Annotated[int, Field(ge=1, le=100_000)]
_BPS = 10_000


class TrendSettings(CatalogSettings):
    """The keys of every trend strategy."""

    instrument: str
    equity: Positive
    """Quote units that sizes are shares of. Profits are not added to it, nor losses taken off."""
    bar_s: int = Field(default=3_600, ge=1, le=86_400)
    """Length of a bar where bars are built from trades; bars from outside come as they are."""
    shorts: bool = False
    """Whether it may be short; else it is flat then."""
    sizing: Sizing = FixedFractionSizing(fraction=Decimal(1))
    sizing_bars: Length = 24
    """Bars that the volatility, the true range, or the mean return on the rule's side is of, where sizing needs one."""
    stop_bps: NotNegative = Decimal(0)
    """At a close so far beyond the entry's, against the position, it goes flat until the side changes. 0: no stop."""
    limit_bps: NotNegative = Decimal(50)
    """How far beyond the touch an order may execute."""

    fixed: ClassVar[tuple[str, ...]] = ("bar_s", "sizing_bars")

    @model_validator(mode="after")
    def _has_the_stop_it_is_sized_for(self) -> Self:
        if isinstance(self.sizing, FixedFractionalSizing) and self.stop_bps == 0:
            raise ValueError("fixed-fractional sizing is for a stop: stop_bps is 0")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


S = TypeVar("S", bound=TrendSettings)


class Trend(CatalogStrategy[S]):
    """See the module. A kind gives its rule, and tunes it when parameters change while it runs."""

    saved = ("_rule", "_volatility", "_atr", "_returns", "_close", "_held", "_target", "_entry", "_order")

    def __init__(self, settings: S) -> None:
        super().__init__(settings)
        self.bar_interval_ns = settings.bar_s * 1_000_000_000
        self._rule = self.rule(settings)
        self._volatility = Volatility.of(settings.sizing_bars)
        self._atr = Atr.of(settings.sizing_bars)
        self._returns = RollingSum(settings.sizing_bars)
        self._close = 0.0
        self._entry = 0.0
        """The close at which the side was taken."""
        self._held = 0
        self._target = 0
        self._order: int | None = None

    def rule(self, settings: S) -> Rule:
        """Make what decides on the side; it is its own plain state."""
        raise NotImplementedError

    def tune(self, settings: S) -> None:
        """Give the rule in use the parameters that may change while it runs."""

    def reconfigure(self, ctx: Context, settings: S) -> None:
        super().reconfigure(ctx, settings)
        self.tune(settings)

    def restore(self, state: bytes) -> None:
        kinds: dict[str, Any] = {
            name: type(getattr(self, name)) for name in ("_rule", "_volatility", "_atr", "_returns")
        }
        super().restore(state)
        for name, kind in kinds.items():
            setattr(self, name, msgspec.convert(getattr(self, name), kind))

    def on_bar(self, ctx: Context, event: EventView) -> None:
        tick, lot = ctx.tick(event.instrument), ctx.lot(event.instrument)
        high, low, close = event.aux1 * tick, event.sequence * tick, event.price * tick
        side = self._rule.update(high, low, close)
        volatility, atr = self._volatility.update(close), self._atr.update(high, low, close)
        if not self.settings.shorts:
            side = max(side, 0)
        mean = self._mean(close)
        inputs = SizingInputs(
            float(self.settings.equity),
            close,
            stop_distance=close * float(self.settings.stop_bps) / _BPS,
            atr=_known(atr),
            volatility=_known(volatility),
            mean=side * mean,
            variance=_known(volatility) ** 2,
        )
        lots = lots_down(self.settings.sizing.units(inputs), lot)
        ctx.signal("side", side, close=close, lots=lots, **self._rule.inputs())
        if side != self._held and (side == 0 or lots > 0):
            self._held, self._target, self._entry = side, side * lots, close
        elif side != self._held or self._is_stopped(close):
            self._target = 0
        self._trade(ctx, event.instrument)

    def _mean(self, close: float) -> float:
        """The mean of the last returns; 0 until there are enough."""
        last, self._close = self._close, close
        if last == 0.0:
            return 0.0
        total = self._returns.update(close / last - 1.0)
        return total / self._returns.length if self._returns.is_full else 0.0

    def _is_stopped(self, close: float) -> bool:
        stop = float(self.settings.stop_bps) / _BPS
        return stop > 0.0 and self._target * (close - self._entry) < 0 and abs(close / self._entry - 1.0) >= stop

    def _trade(self, ctx: Context, instrument: int) -> None:
        """Take what the position lacks, once what was sent before is over."""
        if ctx.stopping or ctx.halted or (self._order is not None and ctx.is_open(self._order)):
            return
        book, change = ctx.book(instrument), self._target - ctx.position(instrument)
        if change == 0 or not book.is_valid:
            return
        beyond = float(self.settings.limit_bps) / _BPS
        if change > 0:
            self._order = ctx.take(instrument, 0, math.floor(book.ask * (1 + beyond)), change)
        else:
            self._order = ctx.take(instrument, 1, max(1, math.ceil(book.bid * (1 - beyond))), -change)


def _known(value: float) -> float:
    """Sizing takes 0 for what is not known."""
    return 0.0 if math.isnan(value) else value
