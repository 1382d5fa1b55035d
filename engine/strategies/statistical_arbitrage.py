"""Statistical arbitrage of a pair: one bought and the other sold when their distance is unusual, closed when it is not.

Once per `sample_s` of event time the log mids of both are taken. Every `test_every` samples Engle and Granger's test
looks at the last `window` of them (`engine.signals.cointegration`); only while it holds is anything opened. The
distance is y less its line on x, the line by a Kalman filter that lets it move (`engine.signals.kalman`) or of the last
test:

    z = distance / its standard deviation        beyond `enter`: against it; within `leave`: out; beyond `stop`: out too

For one unit of y's value, β of x's is held the other way (logs: β is a ratio of values). A distance is worth opening on
when its way back pays for both legs both ways, fees and half spreads, and `profit_min_bps`. Both positions are reached
by immediate orders; if they are not within `legs_s`, both are given up again.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, EventView
from engine.sdk.floats import ln
from engine.signals.cointegration import engle_granger
from engine.signals.kalman import KalmanHedge
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.reaching import Legs, is_busy, reach
from engine.strategies.rounding import lots_down


class StatisticalArbitrageSettings(CatalogSettings):
    """See the module."""

    kind: Literal["statistical-arbitrage"] = "statistical-arbitrage"
    y: str
    """The instrument whose value is `notional`."""
    x: str
    """The one it is hedged with."""
    notional: Positive = Decimal(1_000)
    """Of the position in y, in its quote asset; x follows from the hedge ratio."""
    sample_s: Annotated[Decimal, Field(ge=Decimal("0.01"), le=604_800)] = Decimal(3_600)
    window: int = Field(default=500, ge=20, le=5_000)
    """Samples that the test looks at."""
    test_every: int = Field(default=24, ge=1)
    level: Literal["1%", "5%", "10%", "off"] = "5%"
    """At which "not cointegrated" has to be refused; `off` trades whatever the test says."""
    lags: int = Field(default=1, ge=0, le=20)
    hedge: Literal["kalman", "window"] = "kalman"
    memory: int = Field(default=200, ge=2)
    """Samples over which the filter lets the line move about as much as the noise around it."""
    enter: Positive = Decimal(2)
    leave: NotNegative = Decimal("0.5")
    stop: Positive = Decimal(4)
    hold_max: int = Field(default=0, ge=0)
    """Samples after which it is out whatever the distance; 0: none."""
    halflife_max: int = Field(default=0, ge=0)
    """Longest half-life, in samples, at which anything is opened; 0: any."""
    ratio_max: Positive = Decimal(5)
    """Largest hedge ratio; none is taken that is not positive."""
    profit_min_bps: NotNegative = Decimal(0)
    """What the way back has to pay beyond all costs, of y's value."""
    slippage_bps: Positive = Decimal(10)
    legs_s: Positive = Decimal(30)

    fixed: ClassVar[tuple[str, ...]] = ("sample_s", "window", "hedge", "memory")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> StatisticalArbitrageSettings:
        if not self.leave < self.enter < self.stop:
            raise ValueError(f"expected leave < enter < stop, found {self.leave}, {self.enter}, {self.stop}")
        if self.x == self.y:
            raise ValueError("x and y are one instrument")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.y, self.x)


class StatisticalArbitrage(CatalogStrategy[StatisticalArbitrageSettings]):
    """See the module."""

    saved = (
        "_y", "_x", "_sample", "_line", "_filter", "_frame", "_errors", "_holds", "_halflife", "_side", "_targets",
        "_since", "_barred", "_deadline_ns", "_legs",
    )  # fmt: skip

    def __init__(self, settings: StatisticalArbitrageSettings) -> None:
        super().__init__(settings)
        self._y: list[float] = []
        self._x: list[float] = []
        self._sample = -1
        """Number of the interval that was looked at last."""
        self._line: list[float] = []
        """Of the last test: α, β, standard deviation around it."""
        self._filter: list[float] = []
        self._frame: list[float] = []
        """What the filter was begun with: mean and deviation of x, variance around the line."""
        self._errors: list[float] = []
        """The filter's last innovations."""
        self._holds = False
        self._halflife = 0.0
        self._side = 0
        """1: y is held and x owed; -1: the other way round."""
        self._targets = [0, 0]
        self._since = 0
        self._barred = 0
        """The side that was stopped out or given up: not taken again before the distance was usual once."""
        self._deadline_ns = 0
        self._legs: Legs = {}

    @property
    def is_idle(self) -> bool:
        return self._side == 0 and self._deadline_ns == 0

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._places = (ctx.instrument(self.settings.y), ctx.instrument(self.settings.x))
        self._sample_ns = int(self.settings.sample_s * 1_000_000_000)
        self._fees = [float(ctx.terms(at).taker_fee_bps) / 1e4 for at in self._places]

    def on_book(self, ctx: Context, book: BookView) -> None:
        books = [ctx.book(at) for at in self._places]
        sample = ctx.now_ns // self._sample_ns
        if sample > self._sample and all(one.is_valid for one in books):
            # Books may come at every second sample only: that one of so many begins is what counts, not its number.
            every = self.settings.test_every
            is_due, self._sample = sample // every > self._sample // every, sample
            mids = [(one.bid + one.ask) / 2 * ctx.tick(at) for one, at in zip(books, self._places, strict=True)]
            z, spread, ratio = self._learn(ln(mids[0]), ln(mids[1]), is_due=is_due)
            if ratio:
                ctx.signal("z", z, spread=spread, ratio=ratio, cointegrated=int(self._holds), halflife=self._halflife)
                self._decide(ctx, z, spread, ratio, mids)
        self._reach(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._reach(ctx)

    def on_stop(self, ctx: Context) -> None:
        self._aim(ctx, 0, [0, 0])

    # --- the model

    def _learn(self, y: float, x: float, *, is_due: bool) -> tuple[float, float, float]:
        """Take a sample; return z, the distance's standard deviation and the hedge ratio (0: none is known yet)."""
        window, lines = self.settings.window, self.settings.hedge == "window"
        error = 0.0
        if self._frame and not lines:
            filtered = self._filter_now()
            error = filtered.update(y, (x - self._frame[0]) / self._frame[1]).error
            self._filter = filtered.state()
            self._errors = [*self._errors[1 - window :], error]
        self._y, self._x = [*self._y[1 - window :], y], [*self._x[1 - window :], x]
        if is_due and len(self._y) == window:
            self._test()
        if not self._line:
            return 0.0, 0.0, 0.0
        if lines:
            spread, ratio = y - self._line[0] - self._line[1] * x, self._line[1]
            deviation = self._line[2]
        else:
            if len(self._errors) < min(window, self.settings.memory):
                return 0.0, 0.0, 0.0
            spread, ratio = error, self._filter[1] / self._frame[1]
            deviation = math.sqrt(math.fsum(one * one for one in self._errors) / len(self._errors))
        return (spread / deviation, deviation, ratio) if deviation > 0.0 else (0.0, 0.0, 0.0)

    def _test(self) -> None:
        """Test the window for cointegration; begin the filter at the first."""
        found = engle_granger(self._y, self._x, lags=self.settings.lags)
        level = self.settings.level
        self._holds = level == "off" or found.holds(level)
        self._halflife = min(found.halflife, 1e9)
        variance = math.fsum(one * one for one in found.line.residuals) / len(found.line.residuals)
        self._line = [found.line.alpha, found.line.beta, math.sqrt(variance)]
        if not self._frame:
            mean = math.fsum(self._x) / len(self._x)
            deviation = math.sqrt(math.fsum((one - mean) * (one - mean) for one in self._x) / len(self._x))
            self._frame = [mean, deviation, variance]
            # It begins at the line, in its own units, as sure of it as of one sample.
            self._filter = [found.line.alpha + found.line.beta * mean, found.line.beta * deviation]
            self._filter += [variance, 0.0, variance]

    def _filter_now(self) -> KalmanHedge:
        noise = self._frame[2]
        made = KalmanHedge(drift=noise / self.settings.memory**2, noise=noise)
        made.restore(self._filter)
        return made

    # --- decisions

    def _decide(self, ctx: Context, z: float, spread: float, ratio: float, mids: list[float]) -> None:
        settings = self.settings
        if self._side:
            towards = -self._side * z  # Positive while the distance is where it was opened, falling as it closes.
            is_late = settings.hold_max and self._sample - self._since >= settings.hold_max
            if towards >= float(settings.stop):
                self._barred = self._side
                self._aim(ctx, 0, [0, 0])
            elif towards <= float(settings.leave) or is_late or not self._holds:
                self._aim(ctx, 0, [0, 0])
            return
        if abs(z) <= float(settings.leave):
            self._barred = 0
        side = -1 if z > 0 else 1
        is_unusual = float(settings.enter) <= abs(z) < float(settings.stop) and side != self._barred
        is_slow = settings.halflife_max and self._halflife > settings.halflife_max
        if ctx.stopping or ctx.halted or not is_unusual or not self._holds or is_slow or is_busy(ctx, self._legs):
            return
        if not 0.0 < ratio <= float(settings.ratio_max):
            return
        if (abs(z) - float(settings.leave)) * spread * 1e4 < self._cost_bps(ctx, ratio) + float(
            settings.profit_min_bps
        ):
            return
        value = float(settings.notional)
        lots = [
            lots_down(value / mids[0], ctx.lot(self._places[0])),
            lots_down(value * ratio / mids[1], ctx.lot(self._places[1])),
        ]
        if all(lots):
            self._aim(ctx, side, [side * lots[0], -side * lots[1]])

    def _cost_bps(self, ctx: Context, ratio: float) -> float:
        """Of both legs both ways, in basis points of y's value: fees and the spread."""
        total = 0.0
        for at, fee, weight in zip(self._places, self._fees, (1.0, ratio), strict=True):
            book = ctx.book(at)
            total += weight * (2.0 * fee + 2.0 * (book.ask - book.bid) / (book.ask + book.bid))
        return total * 1e4

    def _aim(self, ctx: Context, side: int, targets: list[int]) -> None:
        self._side, self._targets, self._since = side, targets, self._sample
        self._deadline_ns = ctx.now_ns + int(self.settings.legs_s * 1_000_000_000)

    def _reach(self, ctx: Context) -> None:
        """Bring both positions to where they are wanted; back to nothing when one of them does not get there."""
        if self._deadline_ns == 0:
            return
        slippage = float(self.settings.slippage_bps)
        there = [
            reach(ctx, self._legs, at, wanted, slippage_bps=slippage)
            for at, wanted in zip(self._places, self._targets, strict=True)
        ]
        if all(there):
            self._deadline_ns = 0
        elif self._side and ctx.now_ns >= self._deadline_ns:
            self._barred = self._side
            self._aim(ctx, 0, [0, 0])
