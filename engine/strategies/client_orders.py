"""Orders that people and programs give by hand, through the API: placed as asked, under the same gate as everything.

It decides nothing. A request is an event of the journal (`OrderRequested`, `CancelRequested`), so a run with hand-given
orders is replayed as it was, and one request is one order, however often it is told.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from domain import OrderType, Side
from domain import events as e
from engine.sdk import Context, Lasting, OrderKind
from engine.strategies.base import CatalogSettings, CatalogStrategy

_KINDS: Final[dict[OrderType, OrderKind]] = {
    OrderType.LIMIT: "limit",
    OrderType.LIMIT_MAKER: "limit_maker",
    OrderType.MARKET: "market",
}
_LASTING: Final[dict[str, Lasting]] = {"gtc": "gtc", "ioc": "ioc", "fok": "fok"}


class ClientOrdersSettings(CatalogSettings):
    """Takes orders from outside, for the instruments it names."""

    kind: Literal["client-orders"] = "client-orders"
    instruments: Annotated[tuple[str, ...], Field(min_length=1)]
    """What may be traded by hand."""
    market_reach_bps: Annotated[Decimal, Field(gt=0, le=1_000)] = Decimal(50)
    """How far beyond the touch a market order may execute; it takes what there is within, and ends."""

    fixed: ClassVar[tuple[str, ...]] = ("instruments",)

    def instrument_names(self) -> tuple[str, ...]:
        return self.instruments


class ClientOrders(CatalogStrategy[ClientOrdersSettings]):
    """See the module."""

    is_driven = True

    def on_request(self, ctx: Context, request: e.OrderRequested) -> int | None:
        """Place an order; give its client id, or None where the gate refused it or there is no price to bound it by."""
        instrument = ctx.instrument(request.instrument)
        side = 0 if request.side is Side.BUY else 1
        price = request.price_ticks
        if request.type is OrderType.MARKET:
            price = self._bound(ctx, instrument, side)
        return ctx.place(
            instrument,
            side,
            price,
            request.qty_lots,
            order_type=_KINDS[request.type],
            time_in_force=_LASTING[request.time_in_force.value],
        )

    def _bound(self, ctx: Context, instrument: int, side: int) -> int:
        """The worst price a market order may get, in ticks; 0 without a book, which the gate refuses."""
        book = ctx.book(instrument)
        if not book.is_valid:
            return 0
        share = self.settings.market_reach_bps / 10_000
        if side == 0:
            return int((book.ask * (1 + share)).to_integral_value(ROUND_FLOOR))
        return int((book.bid * (1 - share)).to_integral_value(ROUND_CEILING))
