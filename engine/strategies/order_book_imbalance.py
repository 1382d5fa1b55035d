"""Order-book imbalance: buys when bids outweigh asks near the touch, sells when asks do, closes when neither does.

The imbalance of the best `depth` levels is (B - A) / (B + A), B and A the sizes on each side: between -1 and 1. Beyond
`enter` it takes the touch, `qty` at a time, up to `position_max`; within `leave` it closes. In between it does nothing.
One order is out at a time, immediate-or-cancel: it never pays more than the touch it saw.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive
from engine.strategies.rounding import lots_down

Share = Annotated[Decimal, Field(ge=0, le=1)]


class OrderBookImbalanceSettings(CatalogSettings):
    """See the module."""

    kind: Literal["order-book-imbalance"] = "order-book-imbalance"
    instrument: str
    qty: Positive
    """Base units of one order."""
    position_max: Positive
    """Base units held or owed at most."""
    depth: int = Field(default=5, ge=1, le=50)
    """Levels of each side that are looked at."""
    enter: Share = Decimal("0.6")
    leave: Share = Decimal("0.1")
    refresh_ms: int = Field(default=10, ge=0)
    """It looks at the first message of each interval."""

    fixed: ClassVar[tuple[str, ...]] = ("refresh_ms",)

    @model_validator(mode="after")
    def _leaves_before_it_enters(self) -> OrderBookImbalanceSettings:
        if self.leave >= self.enter:
            raise ValueError(f"leave {self.leave} is not below enter {self.enter}")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class OrderBookImbalance(CatalogStrategy[OrderBookImbalanceSettings]):
    """See the module."""

    saved = ("_order",)

    def __init__(self, settings: OrderBookImbalanceSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.refresh_ms * 1_000_000
        self._order: int | None = None

    def on_book(self, ctx: Context, book: BookView) -> None:
        if not book.is_valid or ctx.stopping or ctx.halted:
            return
        if self._order is not None and ctx.is_open(self._order):
            return
        bids, asks = book.levels(self.settings.depth)
        bid_lots, ask_lots = int(bids[:, 1].sum()), int(asks[:, 1].sum())
        imbalance = (bid_lots - ask_lots) / (bid_lots + ask_lots)
        wanted = self._wanted(imbalance, ctx.lot(book.instrument))
        if wanted is None:
            return
        qty = lots_down(float(self.settings.qty), ctx.lot(book.instrument))
        change = max(-qty, min(qty, wanted - ctx.position(book.instrument)))
        if change:
            side, limit = (0, book.ask) if change > 0 else (1, book.bid)
            ctx.signal("imbalance", imbalance, bid_lots=bid_lots, ask_lots=ask_lots, change=change)
            self._order = ctx.take(book.instrument, side, limit, abs(change))

    def _wanted(self, imbalance: float, lot: float) -> int | None:
        """The position it wants in lots, or nothing where it keeps what it has."""
        if abs(imbalance) <= float(self.settings.leave):
            return 0
        if abs(imbalance) < float(self.settings.enter):
            return None
        most = lots_down(float(self.settings.position_max), lot)
        return most if imbalance > 0 else -most
