"""What the venue's REST says about our account, read by ourselves: `cex.account` for the Binance protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

import structlog

from cex import account as generic
from cex.account import Account, OrderSnapshot, TradeCursor
from cex.binance.connection import BinanceConnection
from cex.binance.messages import AccountAnswer, CommissionAnswer, OrderAnswer, TradeAnswer
from cex.binance.reading import code, listed_fill, snapshot
from cex.errors import UnknownOrder
from cex.limiter import Lane
from cex.markets import Market
from cex.numbers import to_decimal, to_raw
from cex.reports import Reports
from domain import Fill, PlatformError

log = structlog.get_logger(__name__)


class BinanceAccount(Account):
    """Queries of one account. Orders are asked for by our ids, trades by their numbers."""

    def __init__(self, connection: BinanceConnection, markets: Mapping[str, Market], reports: Reports) -> None:
        super().__init__(connection, markets, reports)
        self._venue = connection

    async def order(self, market: Market, client_order_id: str) -> OrderSnapshot | None:
        try:
            answer = await self._venue.ask(
                f"order {client_order_id}",
                "order",
                {"symbol": market.venue_symbol, "origClientOrderId": client_order_id},
                type=OrderAnswer,
                signed=True,
                weight=4,
            )
        except UnknownOrder:
            return None
        return snapshot(market, answer)

    async def open_orders(
        self, market: Market, *, lane: Lane = Lane.QUERY, named: Mapping[str, str | int] = MappingProxyType({})
    ) -> list[OrderSnapshot]:
        rows = await self._venue.ask(
            f"open orders of {market.id}",
            "openOrders",
            {"symbol": market.venue_symbol, **named},
            type=list[OrderAnswer],
            signed=True,
            lane=lane,
            weight=6,
        )
        return [snapshot(market, row) for row in rows]

    async def trades_of(self, market: Market, order: OrderSnapshot) -> list[Fill]:
        self._reports.learn_name(market.id, order.venue_order_id, order.client_order_id)
        rows: list[TradeAnswer] = []
        page: Sequence[TradeAnswer] = await self._trade_rows(market, {"orderId": order.venue_order_id}, weight=5)
        rows += page
        while len(page) == generic.PAGE:
            page = await self._trade_rows(
                market, {"orderId": order.venue_order_id, "fromId": rows[-1].id + 1}, weight=5
            )
            rows += page
        return await self._read(market, rows)

    async def trades(self, market: Market, cursor: TradeCursor) -> list[Fill]:
        rows: list[TradeAnswer] = []
        while True:
            page = await self._trade_rows(market, {"fromId": cursor.last_id + 1})
            fresh = [row for row in page if row.id > cursor.last_id]
            rows += fresh
            cursor.advance({"id": row.id} for row in fresh)
            if not fresh or len(page) < generic.PAGE:
                return await self._read(market, rows)

    async def latest(self, market: Market) -> TradeCursor:
        cursor = TradeCursor(is_numbered=True)
        cursor.advance({"id": row.id} for row in await self._trade_rows(market, {}, limit=1))
        return cursor

    async def balances(self, *, starting: bool = False) -> dict[str, int]:
        settings = self._venue.settings
        answer = await self._venue.ask(
            "balances", "account", type=AccountAnswer, signed=True, weight=20, starting=starting
        )
        held: dict[str, int] = {}
        for market in self._markets.values():
            held |= {market.instrument.base.id: 0, market.instrument.quote.id: 0}
        for row in answer.balances:
            asset_id = f"{settings.id}/{code(row.asset)}"
            raw = sum(to_raw(part, settings.asset_decimals) for part in (row.free, row.locked))
            if raw or asset_id in held:
                held[asset_id] = raw
        return held

    async def with_fees(self, market: Market) -> Market:
        try:
            answer = await self._venue.ask(
                f"fees of {market.id}",
                "account/commission",
                {"symbol": market.venue_symbol},
                type=CommissionAnswer,
                signed=True,
                weight=20,
            )
            parts = (answer.standard_commission, answer.tax_commission, answer.special_commission)
            maker = sum((to_decimal(part.maker) for part in parts), Decimal(0))
            taker = sum((to_decimal(part.taker) for part in parts), Decimal(0))
        except PlatformError as exc:
            log.warning("fees.unknown", instrument=market.id, error=str(exc))
            return market
        return market.with_fees(maker, taker)

    # --- pages

    async def _trade_rows(
        self, market: Market, params: Mapping[str, str | int], *, limit: int | None = None, weight: int = 20
    ) -> list[TradeAnswer]:
        return await self._venue.ask(
            f"trades of {market.id}",
            "myTrades",
            {"symbol": market.venue_symbol, "limit": limit or generic.PAGE, **params},
            type=list[TradeAnswer],
            signed=True,
            weight=weight,
        )

    async def _read(self, market: Market, rows: Sequence[TradeAnswer]) -> list[Fill]:
        orders = {str(row.order_id) for row in rows}
        if unnamed := [order for order in sorted(orders) if self._reports.name(market.id, order) is None]:
            await self._learn_names(market, unnamed)
        decimals = self._venue.settings.asset_decimals
        return [
            listed_fill(market, row, self._reports.name(market.id, str(row.order_id)) or "", decimals)
            for row in sorted(rows, key=lambda row: (row.time, row.id))
        ]

    async def _names_from(self, market: Market, venue_order_id: int) -> dict[str, str]:
        rows = await self._venue.ask(
            f"orders of {market.id}",
            "allOrders",
            {"symbol": market.venue_symbol, "orderId": venue_order_id, "limit": generic.PAGE},
            type=list[OrderAnswer],
            signed=True,
            weight=20,
        )
        return {str(row.order_id): row.client_order_id for row in rows}

    async def _name_of(self, market: Market, venue_order_id: str) -> str:
        row = await self._venue.ask(
            f"order {venue_order_id}",
            "order",
            {"symbol": market.venue_symbol, "orderId": venue_order_id},
            type=OrderAnswer,
            signed=True,
            weight=4,
        )
        return row.client_order_id
