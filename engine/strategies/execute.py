"""One parent order, executed by an algorithm: TWAP, VWAP, percentage of volume, iceberg, implementation shortfall.

It is done once: bought or sold is `qty`, then nothing more. See docs/execution for the algorithms and their bounds.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
from pydantic import Field, model_validator

from domain import InputError, Instrument
from engine.execution import (
    BUY,
    SELL,
    AlmgrenChriss,
    Curve,
    ExecutionReport,
    Iceberg,
    Linear,
    Pace,
    Paced,
    ParentOrder,
    Participating,
    Schedule,
    report_on,
)
from engine.sdk import BookView, Context, EventView, Trades
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from runtime import SettingsPart

Seconds = Annotated[Decimal, Field(gt=0, le=604_800)]
Share = Annotated[Decimal, Field(gt=0, le=1)]
ROOM: Final = Decimal("1.05")


class PacedSettings(SettingsPart):
    """What the algorithms on a schedule have in common."""

    duration_s: Seconds
    every_s: Seconds = Decimal(10)
    """A slice: never ahead of the schedule by more than one, never behind by more than one."""
    lead_ms: int = Field(default=1_000, ge=0)
    """How long before a slice's end what it leaves is crossed; longer than a cancel and an order take."""
    style: Literal["rest", "cross"] = "rest"
    """Rest at the own touch and cross what a slice leaves, or cross each slice at its beginning."""
    reprice_ms: int = Field(default=500, ge=0)
    """How long an order rests at least before it follows the touch."""
    cross_bps: Annotated[Decimal, Field(ge=0, le=500)] = Decimal(5)
    """How far beyond the touch a crossing may execute."""
    finish_s: NotNegative = Decimal(60)
    """How long after the end it is tried to cross what is left; within the limit only."""

    @model_validator(mode="after")
    def _slices(self) -> Self:
        if self.every_s > self.duration_s:
            raise ValueError("every_s is longer than duration_s")
        if self.lead_ms >= self.every_s * 1_000:
            raise ValueError("lead_ms is not shorter than every_s")
        return self

    def pace(self, *, is_complete: bool = True) -> Pace:
        """Return how children are worked."""
        return Pace(
            every_ns=_ns(self.every_s),
            lead_ns=self.lead_ms * 1_000_000 if self.style == "rest" else 0,
            reprice_ns=self.reprice_ms * 1_000_000,
            cross_ppm=int(self.cross_bps * 100),
            is_passive=self.style == "rest",
            is_complete=is_complete,
            finish_ns=_ns(self.finish_s),
        )


class TwapSettings(PacedSettings):
    """Equal amounts in equal times."""

    name: Literal["twap"]

    def schedule(self) -> Schedule:
        return Linear(_ns(self.duration_s))


class VwapSettings(PacedSettings):
    """In proportion to a volume curve."""

    name: Literal["vwap"]
    curve: Annotated[tuple[NotNegative, ...], Field(min_length=1, max_length=1_440)]
    """Relative volume of equal parts of the duration: `capstan execute curve` makes one of recorded data."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(self.curve):
            raise ValueError("a curve without volume")
        return self

    def schedule(self) -> Schedule:
        return Curve(_ns(self.duration_s), self.curve)


class ShortfallSettings(PacedSettings):
    """Almgren–Chriss: early where the price's risk costs more than the impact of haste."""

    name: Literal["shortfall"]
    risk_aversion: Positive
    """Per quote unit: how much variance weighs against expected cost."""
    volatility: Positive
    """Quote units of the price per square root of a second."""
    impact: Positive
    """Quote units of the price per base unit a second: how much worse a faster execution is."""

    def schedule(self) -> AlmgrenChriss:
        return AlmgrenChriss(
            _ns(self.duration_s),
            _ns(self.every_s),
            risk_aversion=float(self.risk_aversion),
            volatility=float(self.volatility),
            impact=float(self.impact),
        )


class PovSettings(PacedSettings):
    """A share of what the market trades."""

    name: Literal["pov"]
    share: Share
    """Of the market's volume."""
    complete: bool = False
    """Whether what is left at the end is crossed; otherwise it stays undone."""


class IcebergSettings(SettingsPart):
    """A part shown at a time."""

    name: Literal["iceberg"]
    show: Positive
    """Base units shown."""
    follow: bool = True
    """Rest at the own touch, within the limit; otherwise at the limit."""
    reprice_ms: int = Field(default=500, ge=0)
    duration_s: NotNegative = Decimal(0)
    """Given up after this long; 0: never."""


AlgorithmSettings = Annotated[
    TwapSettings | VwapSettings | PovSettings | IcebergSettings | ShortfallSettings, Field(discriminator="name")
]


class ExecuteSettings(CatalogSettings):
    """One parent order."""

    kind: Literal["execute"] = "execute"
    instrument: str
    side: Literal["buy", "sell"]
    qty: Positive
    """Base units (contracts of an inverse contract) in all."""
    algorithm: AlgorithmSettings
    limit: Positive | None = None
    """The worst price of any child; beyond it the order waits, and may stay undone."""
    start_s: NotNegative = Decimal(0)
    """Seconds after the run's first event."""
    child_min: NotNegative = Decimal(0)
    """Base units: smaller children wait until they are so much (venues refuse orders of little value)."""
    child_max: Positive | None = None
    """Base units of one child at most."""

    fixed: ClassVar[tuple[str, ...]] = ("side", "qty", "algorithm", "limit", "start_s", "child_min", "child_max")

    @model_validator(mode="after")
    def _children(self) -> Self:
        if self.child_max is not None and self.child_max < self.child_min:
            raise ValueError("child_max is less than child_min")
        if isinstance(self.algorithm, IcebergSettings) and not self.algorithm.follow and self.limit is None:
            raise ValueError("an iceberg that does not follow needs a limit to rest at")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class Execute(CatalogStrategy[ExecuteSettings]):
    """See the module."""

    book_interval_ns = 50_000_000
    trades_interval_ns = 250_000_000

    def __init__(self, settings: ExecuteSettings) -> None:
        super().__init__(settings)
        self.order = parent_order(settings)
        self._is_sized = self._is_reported = False
        self._terms: Instrument | None = None

    def report(self, now_ns: int) -> ExecutionReport:
        """Say what it cost until now, or until its end.

        Raises:
            InputError: It has not begun.
        """
        if self._terms is None or not self.order.tally.arrival:
            raise InputError(f"{self.id}: nothing to report, it has not begun")
        return report_on(self.order, self._terms, now_ns=now_ns)

    def on_start(self, ctx: Context) -> None:
        settings, at, order = self.settings, ctx.instrument(self.settings.instrument), self.order
        self._terms = terms = ctx.terms(at)
        total = terms.lots_down(settings.qty)
        if total == 0:
            raise InputError(f"{self.id}: qty {settings.qty} is less than a lot of {terms.lot_size}")
        order.child_min = max(1, _up(settings.child_min / terms.lot_size))
        shown = settings.algorithm.show if isinstance(settings.algorithm, IcebergSettings) else None
        if (most := min((m for m in (settings.child_max, shown) if m is not None), default=None)) is not None:
            order.child_max = max(terms.lots_down(most), order.child_min)
        order.begin(ctx, at, total, at_ns=ctx.now_ns + _ns(settings.start_s), limit=self._limit(terms))

    def _limit(self, terms: Instrument) -> int:
        """The limit on the grid, never worse than meant; 0 without one."""
        limit = self.settings.limit
        if limit is None:
            return 0
        ticks = terms.ticks_down(limit) if self.settings.side == "buy" else terms.ticks_up(limit)
        if ticks <= 0:
            raise InputError(f"{self.id}: the limit {limit} is less than a tick of {terms.tick_size}")
        return ticks

    def _advance(self, ctx: Context) -> None:
        order = self.order
        if not self._is_sized and (book := ctx.book(order.instrument)).is_valid:
            # The venue's least value at this price, and a little room for the price to fall.
            terms = ctx.terms(order.instrument)
            least = _up(terms.min_notional * ROOM / terms.notional(book.bid, 1))
            self._is_sized = True
            order.child_min = max(order.child_min, least)
            order.child_max = order.child_max and max(order.child_max, order.child_min)
        order.advance(ctx)
        if order.is_done and not self._is_reported and self._terms is not None:
            self._is_reported = True
            told = report_on(order, self._terms, now_ns=ctx.now_ns)
            if told.shortfall_total_bps is not None:
                inputs = {name: value for name, value in told.to_json().items() if value is not None}
                ctx.signal("executed", told.shortfall_total_bps, **inputs)

    def on_book(self, ctx: Context, book: BookView) -> None:
        self._advance(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._advance(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._advance(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self.order.on_fill(ctx, event)

    def on_stop(self, ctx: Context) -> None:
        self._advance(ctx)

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        self.order.on_trades(ctx, trades)

    def state(self) -> bytes:
        return msgspec.json.encode([self._is_sized, self._is_reported, self.order.state()], order="deterministic")

    def restore(self, state: bytes) -> None:
        try:
            self._is_sized, self._is_reported, found = msgspec.json.decode(
                state, type=tuple[bool, bool, dict[str, Any]]
            )
        except msgspec.DecodeError as exc:
            raise InputError(f"strategy {self.id}: the saved state is damaged: {exc}") from exc
        self.order.restore(found)


def parent_order(settings: ExecuteSettings) -> ParentOrder:
    """Make the parent order that settings describe; it begins in `on_start`."""
    side, algorithm = (BUY if settings.side == "buy" else SELL), settings.algorithm
    if isinstance(algorithm, IcebergSettings):
        return Iceberg(
            side,
            follows=algorithm.follow,
            reprice_ns=algorithm.reprice_ms * 1_000_000,
            duration_ns=_ns(algorithm.duration_s),
        )
    if isinstance(algorithm, PovSettings):
        pace = algorithm.pace(is_complete=algorithm.complete)
        return Participating(side, algorithm.share, _ns(algorithm.duration_s), pace)
    return Paced(side, algorithm.schedule(), algorithm.pace())


def _up(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_CEILING))


def _ns(seconds: Decimal) -> int:
    return int(seconds * 1_000_000_000)
