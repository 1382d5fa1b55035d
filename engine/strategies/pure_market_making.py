"""Pure market making: quotes on both sides of the mid at set distances, leaned against what it holds.

    reference  r = mid · (1 - skew · q)                    q = (inventory - target) / inventory_max, within -1 and 1
    level k    r ∓ mid · (spread / 2 + k · step)           k = 0 … levels - 1
    size k     (qty + k · qty_step) · (1 ∓ size_skew · q)  outer levels are cut first where the inventory would not fit

It looks at the first message of each `refresh_ms`. A level moves when its price is off by more than `requote_bps`; what
is near enough keeps its place in the queue. With `hanging`, a level that traded whole leaves its other side where it
was, to close the round trip, and both sides are quoted afresh beside it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, EventView
from engine.strategies import hanging as hang
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.rounding import held_to, lots_down, ticks_down, ticks_up

Share = Annotated[Decimal, Field(ge=0, le=1)]


class PureMarketMakingSettings(CatalogSettings):
    """See the module."""

    kind: Literal["pure-market-making"] = "pure-market-making"
    instrument: str
    qty: Positive
    """Base units of the first level's order."""
    inventory_max: Positive
    """Base units beyond the target, either way, that what is quoted would not exceed if all of it traded."""
    inventory_target: Decimal = Decimal(0)
    """Base units it tends to, counted from what it began with."""
    levels: int = Field(default=1, ge=1, le=10)
    spread_bps: Positive = Decimal(10)
    """Between the first bid and the first ask."""
    step_bps: Positive = Decimal(5)
    """From a level to the next."""
    qty_step: NotNegative = Decimal(0)
    """Base units that each further level adds."""
    skew_bps: NotNegative = Decimal(0)
    """How far the reference is moved at full inventory: half the spread brings the reducing side to the mid."""
    size_skew: Share = Decimal(0)
    """At full inventory the adding side is this much smaller, the reducing side this much larger."""
    refresh_ms: int = Field(default=1_000, ge=0)
    requote_bps: NotNegative = Decimal(1)
    filled_pause_ms: int = Field(default=0, ge=0)
    """For how long after a fill nothing is quoted that is not there yet."""
    hanging: bool = False
    hanging_distance_max_bps: Positive = Decimal(50)
    """From the mid; what hangs further away is given up."""
    hanging_max: int = Field(default=10, ge=1, le=50)
    price_floor: Positive | None = None
    """Below it nothing is bought. (Beyond its bounds a market is not what it was thought to be.)"""
    price_ceiling: Positive | None = None
    """Above it nothing is sold."""

    fixed: ClassVar[tuple[str, ...]] = ("refresh_ms",)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> PureMarketMakingSettings:
        if self.price_floor is not None and self.price_ceiling is not None and self.price_floor >= self.price_ceiling:
            raise ValueError(f"price_floor {self.price_floor} is not below price_ceiling {self.price_ceiling}")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class PureMarketMaking(CatalogStrategy[PureMarketMakingSettings]):
    """See the module."""

    saved = ("_quoted", "_hanging", "_paused_until_ns")

    def __init__(self, settings: PureMarketMakingSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.refresh_ms * 1_000_000
        self._quoted: list[list[int | None]] = [[], []]
        """The price of each level that is quoted, bids and asks."""
        self._hanging: hang.Hanging = []
        self._paused_until_ns = 0

    def on_start(self, ctx: Context) -> None:
        self._instrument = ctx.instrument(self.settings.instrument)
        self._tick, self._lot = ctx.tick(self._instrument), ctx.lot(self._instrument)

    def on_book(self, ctx: Context, book: BookView) -> None:
        if ctx.halted:
            return
        if ctx.stopping:
            self.on_stop(ctx)
            return
        if not book.is_valid:
            # What hangs is placed again when the book is back.
            self._quoted = [[], []]
            ctx.cancel_all(self._instrument)
            return
        mid = (book.bid + book.ask) / 2
        shift, before = self._shift(ctx), self._quoted
        wanted = self._wanted(mid, book.bid, book.ask, shift)
        self._follow(wanted, mid, (book.bid, book.ask), is_paused=ctx.now_ns < self._paused_until_ns)
        self._hanging = hang.still_worth(self._hanging, mid, mid * float(self.settings.hanging_distance_max_bps) / 1e4)
        self._drop_what_was_met(ctx, book)
        if self._quoted != before:
            ctx.signal("shift", shift, mid_ticks=mid, hanging=len(self._hanging))
        bids, asks = (self._sized(ctx, side) for side in (0, 1))
        ctx.quote(self._instrument, hang.together(bids, self._hanging, 0), hang.together(asks, self._hanging, 1))

    def on_fill(self, ctx: Context, event: EventView) -> None:
        side, price = event.side, event.price
        self._paused_until_ns = ctx.now_ns + self.settings.filled_pause_ms * 1_000_000
        self._hanging, fresh = hang.after_fill(self._hanging, side, price, event.size)
        if not fresh or price not in self._quoted[side] or ctx.is_open(event.client_id):
            return
        level = self._quoted[side].index(price)
        self._quoted[side][level] = None
        other = self._quoted[1 - side][level] if level < len(self._quoted[1 - side]) else None
        if self.settings.hanging and other is not None and len(self._hanging) < self.settings.hanging_max:
            open_lots = self._open_lots(ctx, 1 - side, other) - sum(
                row[2] for row in self._hanging if row[:2] == [1 - side, other]
            )
            if open_lots > 0:
                self._hanging.append([1 - side, other, open_lots])
                self._quoted[1 - side][level] = None

    def on_stop(self, ctx: Context) -> None:
        self._quoted, self._hanging = [[], []], []
        ctx.cancel_all(self._instrument)

    # --- what is wanted

    def _shift(self, ctx: Context) -> float:
        """How full it is: 1 holds `inventory_max` more than its target, -1 as much less."""
        held = ctx.position(self._instrument) * self._lot - float(self.settings.inventory_target)
        return held_to(held / float(self.settings.inventory_max), 1.0)

    def _wanted(self, mid: float, bid: int, ask: int, shift: float) -> list[list[int | None]]:
        """The price of each level in ticks: short of the other side's touch, each further out than the last."""
        settings, unit = self.settings, mid / 1e4
        reference = mid - shift * float(settings.skew_bps) * unit
        bids: list[int | None] = []
        asks: list[int | None] = []
        low, high = ask, bid
        for level in range(settings.levels):
            distance = (float(settings.spread_bps) / 2 + level * float(settings.step_bps)) * unit
            low = min(ticks_down(reference - distance, 1.0), low - 1)
            high = max(ticks_up(reference + distance, 1.0), high + 1)
            bids.append(low if low > 0 and self._is_above_floor(low) else None)
            asks.append(high if self._is_below_ceiling(high) else None)
        return [bids, asks]

    def _is_above_floor(self, price: int) -> bool:
        floor = self.settings.price_floor
        return floor is None or price * self._tick >= float(floor)

    def _is_below_ceiling(self, price: int) -> bool:
        ceiling = self.settings.price_ceiling
        return ceiling is None or price * self._tick <= float(ceiling)

    def _follow(self, wanted: list[list[int | None]], mid: float, touch: tuple[int, int], *, is_paused: bool) -> None:
        """Move the levels that are too far from where they should be; in a pause add none that is not there."""
        tolerance = mid * float(self.settings.requote_bps) / 1e4
        followed: list[list[int | None]] = []
        for side, prices in enumerate(wanted):
            old = [*self._quoted[side], *([None] * len(prices))]
            kept: list[int | None] = []
            for before, price in zip(old, prices, strict=False):
                is_near = (
                    before is not None
                    and price is not None
                    and abs(before - price) <= tolerance
                    and (before < touch[1] if side == 0 else before > touch[0])
                )
                kept.append(before if is_near or (is_paused and before is None) else price)
            followed.append(kept)
        self._quoted = followed

    def _sized(self, ctx: Context, side: int) -> list[tuple[int, int]]:
        """Price and lots of each level of a side, as far as the inventory fits."""
        settings, sign = self.settings, 1 if side == 0 else -1
        factor = 1.0 - sign * float(settings.size_skew) * self._shift(ctx)
        most, target = float(settings.inventory_max), float(settings.inventory_target)
        # Whatever is open on this side may execute, and nothing on the other.
        room = lots_down(most + sign * target, self._lot) - sign * ctx.position(self._instrument)
        room -= hang.lots_of(self._hanging, side)
        sized: list[tuple[int, int]] = []
        for level, price in enumerate(self._quoted[side]):
            lots = lots_down((float(settings.qty) + level * float(settings.qty_step)) * factor, self._lot)
            lots = min(lots, room)
            if price is None or lots <= 0:
                continue
            room -= lots
            sized.append((price, lots))
        return sized

    # --- what hangs

    def _open_lots(self, ctx: Context, side: int, price: int) -> int:
        orders = ctx.open_orders(self._instrument)
        return sum(
            order.size - order.filled
            for order in orders
            if order.side == side and order.price == price and not order.is_cancelling
        )

    def _drop_what_was_met(self, ctx: Context, book: BookView) -> None:
        """Forget what hangs beyond the other side's touch and is not there any more: it could not be placed again."""
        self._hanging = [
            row
            for row in self._hanging
            if (row[1] < book.ask if row[0] == 0 else row[1] > book.bid) or self._open_lots(ctx, row[0], row[1]) > 0
        ]
