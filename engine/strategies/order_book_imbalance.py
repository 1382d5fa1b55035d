"""Order-book imbalance: buys when bids outweigh asks near the touch, sells when asks do, closes when neither does.

The imbalance of the best `depth` levels is (B - A) / (B + A), B and A the sizes on each side: between -1 and 1. Beyond
`enter` it takes the touch up to `position_max`; within `leave` it closes. One order is out at a time.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from engine.sdk import BookView, Context
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive

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

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class OrderBookImbalance(CatalogStrategy[OrderBookImbalanceSettings]):
    """See the module."""

    book_interval_ns = 10_000_000
    saved = ("_order",)

    def __init__(self, settings: OrderBookImbalanceSettings) -> None:
        super().__init__(settings)
        self._order: int | None = None

    def on_book(self, ctx: Context, book: BookView) -> None:
        if not book.is_valid or ctx.stopping or ctx.halted:
            return
        if self._order is not None and ctx.is_open(self._order):
            return
        settings, lot, position = self.settings, ctx.lot(book.instrument), ctx.position(book.instrument)
        bids, asks = book.levels(settings.depth)
        bid, ask = int(bids[:, 1].sum()), int(asks[:, 1].sum())
        imbalance = (bid - ask) / (bid + ask)
        qty, most = int(float(settings.qty) / lot), int(float(settings.position_max) / lot)
        if abs(imbalance) <= float(settings.leave):
            wanted = 0
        elif abs(imbalance) >= float(settings.enter):
            wanted = most if imbalance > 0 else -most
        else:
            return
        change = max(-qty, min(qty, wanted - position))
        if change:
            side, limit = (0, book.ask) if change > 0 else (1, book.bid)
            self._order = ctx.take(book.instrument, side, limit, abs(change))
