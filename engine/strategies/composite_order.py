"""One composite order, done once: stop-limit, trailing stop, OCO, OTO or bracket.

A price is a number (`"2990.5"`) or a distance (`"-20bps"`): from the mid when the order begins; of what closes an
entry, from the entry's average price. See docs/execution/composite-orders.md.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
from pydantic import Field, model_validator

from domain import InputError, Instrument
from engine.execution import BUY, SELL, Composite, Oco, Oto, Part, Single, Stop
from engine.sdk import BookView, Context, EventView
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from runtime import SettingsPart

At = Annotated[str, Field(pattern=r"^(\d{1,12}(\.\d{1,12})?|[+-]\d{1,4}(\.\d{1,4})?bps)$")]
Distance = Annotated[Decimal, Field(gt=0, le=5_000)]
_BPS: Final = re.compile(r"([+-][\d.]+)bps")


class StopLimitSettings(SettingsPart):
    """A limit order that is placed when the touch it would take reaches a price."""

    name: Literal["stop-limit"]
    stop: At
    limit: At


class TrailingSettings(SettingsPart):
    """A market order when the touch has come back by a distance from its best since the beginning."""

    name: Literal["trailing"]
    distance_bps: Distance


class OcoSettings(SettingsPart):
    """A limit order and a stop for one amount: what one does the other does not."""

    name: Literal["oco"]
    limit: At
    stop: At
    stop_limit: At | None = None
    """The stop's limit; without it, it takes at the market."""


class OtoSettings(SettingsPart):
    """An entry, and an order of the other side for as much as is entered."""

    name: Literal["oto"]
    entry: At | None = None
    """The entry's limit; without it, it takes at the market."""
    then: At
    """The second's limit."""


class BracketSettings(SettingsPart):
    """An entry, and for as much as is entered a target and a stop, one of which cancels the other."""

    name: Literal["bracket"]
    entry: At | None = None
    target: At
    stop: At | None = None
    trail_bps: Distance | None = None
    """Instead of a fixed stop."""
    stop_limit: At | None = None

    @model_validator(mode="after")
    def _one_stop(self) -> Self:
        if (self.stop is None) == (self.trail_bps is None):
            raise ValueError("a bracket has either stop or trail_bps")
        if self.trail_bps is not None and self.stop_limit is not None:
            raise ValueError("a trailing stop takes at the market: it has no stop_limit")
        return self


OrderSettings = Annotated[
    StopLimitSettings | TrailingSettings | OcoSettings | OtoSettings | BracketSettings, Field(discriminator="name")
]


class CompositeOrderSettings(CatalogSettings):
    """One composite order."""

    kind: Literal["composite-order"] = "composite-order"
    instrument: str
    side: Literal["buy", "sell"]
    """Of the order, or of the entry."""
    qty: Positive
    """Base units (contracts of an inverse contract)."""
    order: OrderSettings
    bound_bps: Annotated[Decimal, Field(gt=0, le=500)] = Decimal(50)
    """How far beyond the touch what takes at the market may execute."""
    expires_s: NotNegative = Decimal(0)
    """What has not begun is given up after this long; what is entered stays protected. 0: never."""

    fixed: ClassVar[tuple[str, ...]] = ("side", "qty", "order", "bound_bps", "expires_s")

    @model_validator(mode="after")
    def _directions(self) -> Self:
        """Distances on the wrong side would be done at once."""
        up, down = ("+", "-") if self.side == "buy" else ("-", "+")
        match self.order:
            case StopLimitSettings(stop=stop):
                wanted = {"stop": (stop, up)}
            case OcoSettings(limit=limit, stop=stop):
                wanted = {"limit": (limit, down), "stop": (stop, up)}
            case OtoSettings(then=then):
                wanted = {"then": (then, up)}
            case BracketSettings(target=target, stop=stop):
                wanted = {"target": (target, up), "stop": (stop or "", down)}
            case _:
                wanted = {}
        for name, (text, sign) in wanted.items():
            if text.endswith("bps") and text[0] != sign:
                raise ValueError(f"{name} of a {self.side}: expected {sign}…bps, found {text}")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class CompositeOrder(CatalogStrategy[CompositeOrderSettings]):
    """See the module."""

    def __init__(self, settings: CompositeOrderSettings) -> None:
        super().__init__(settings)
        self._side = BUY if settings.side == "buy" else SELL
        self._bound_ppm = int(settings.bound_bps * 100)
        self._terms: Instrument | None = None
        self._entry: Single
        self._rest: Single
        self._stop: Stop
        self.order = Composite(self._part())

    def on_start(self, ctx: Context) -> None:
        self._terms = ctx.terms(ctx.instrument(self.settings.instrument))
        if self._terms.lots_down(self.settings.qty) == 0:
            raise InputError(f"{self.id}: qty {self.settings.qty} is less than a lot of {self._terms.lot_size}")

    def on_book(self, ctx: Context, book: BookView) -> None:
        if not self.order.begun_ns and book.is_valid and self._terms is not None and not (ctx.halted or ctx.stopping):
            self._price(Decimal(book.bid + book.ask) / 2)
            expires_ns = ctx.now_ns + int(self.settings.expires_s * 10**9) if self.settings.expires_s else 0
            lots = self._terms.lots_down(self.settings.qty)
            self.order.begin(ctx, book.instrument, lots, expires_ns=expires_ns)
        self.order.advance(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self.order.on_fill(event)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self.order.advance(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self.order.advance(ctx)

    def on_stop(self, ctx: Context) -> None:
        self.order.advance(ctx)

    def state(self) -> bytes:
        return msgspec.json.encode(self.order.state(), order="deterministic")

    def restore(self, state: bytes) -> None:
        try:
            found: dict[str, Any] = msgspec.json.decode(state, type=dict)
        except msgspec.DecodeError as exc:
            raise InputError(f"strategy {self.id}: the saved state is damaged: {exc}") from exc
        self.order.restore(found)

    # --- from settings to parts

    def _part(self) -> Part:
        self._entry, close = self._single(self._side), 1 - self._side
        match self.settings.order:
            case StopLimitSettings() | TrailingSettings():
                self._stop = Stop(self._single(self._side))
                return self._stop
            case OcoSettings():
                self._rest, self._stop = self._single(self._side), Stop(self._single(self._side))
                return Oco(self._rest, self._stop)
            case OtoSettings():
                self._rest = self._single(close)
                return Oto(self._entry, self._rest, self._price_exits)
            case BracketSettings():
                self._rest, self._stop = self._single(close), Stop(self._single(close))
                return Oto(self._entry, Oco(self._rest, self._stop), self._price_exits)

    def _single(self, side: int) -> Single:
        return Single(side, bound_ppm=self._bound_ppm)

    def _price(self, mid: Decimal) -> None:
        """Set the prices that hang on where the market is."""
        match self.settings.order:
            case StopLimitSettings() as order:
                self._stop.stop, self._stop.then.price = self._ticks(order.stop, mid), self._ticks(order.limit, mid)
            case TrailingSettings() as order:
                self._stop.distance = _distance(order.distance_bps, mid)
            case OcoSettings() as order:
                self._rest.price, self._stop.stop = self._ticks(order.limit, mid), self._ticks(order.stop, mid)
                self._stop.then.price = self._ticks(order.stop_limit, mid)
            case OtoSettings() | BracketSettings() as order:
                self._entry.price = self._ticks(order.entry, mid)

    def _price_exits(self, entry: int) -> None:
        """Set the prices that hang on where the entry was filled."""
        side, at = 1 - self._side, Decimal(entry)
        match self.settings.order:
            case OtoSettings() as order:
                self._rest.price = self._ticks(order.then, at, side)
            case BracketSettings() as order:
                self._rest.price = self._ticks(order.target, at, side)
                self._stop.then.price = self._ticks(order.stop_limit, at, side)
                if order.trail_bps is not None:
                    self._stop.distance = _distance(order.trail_bps, at)
                else:
                    self._stop.stop = self._ticks(order.stop, at, side)

    def _ticks(self, text: str | None, reference: Decimal, side: int | None = None) -> int:
        """A price on the grid, never worse than meant; 0 for none: at the market."""
        terms = self._terms
        if text is None or terms is None:
            return 0
        found = _BPS.fullmatch(text)
        price = terms.tick_size * reference * (10_000 + Decimal(found[1])) / 10_000 if found else Decimal(text)
        buys = (self._side if side is None else side) == BUY
        ticks = terms.ticks_down(price) if buys else terms.ticks_up(price)
        if ticks <= 0:
            raise InputError(f"{self.id}: the price {text} is less than a tick of {terms.tick_size}")
        return ticks


def _distance(bps: Decimal, reference: Decimal) -> int:
    """Ticks, at least one."""
    return max(1, int(reference * bps / 10_000))
