"""What the venue's REST says about our account: orders, trades, balances. The truth that streams are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from cex.connection import Connection
from cex.errors import UnknownOrder, reading
from cex.limiter import Lane
from cex.markets import Market, with_account_fees
from cex.numbers import quote_raw, to_decimal, to_raw
from cex.positions import fetch_positions
from cex.reports import Reports
from domain import Fill, InputError, OrderState, Side, VenueUnavailable

PAGE = 1_000
_SNAKE = {
    "fetchOrders": "fetch_orders",
    "fetchCanceledAndClosedOrders": "fetch_canceled_and_closed_orders",
    "fetchClosedOrders": "fetch_closed_orders",
}
_STATES = {
    "open": OrderState.ACCEPTED,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "canceling": OrderState.ACCEPTED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """An order as the venue described it at some moment."""

    client_order_id: str
    venue_order_id: str
    state: OrderState
    executed_lots: int
    reason: str = ""


class Account:
    """Queries of one account, in our own terms."""

    def __init__(self, connection: Connection, markets: Mapping[str, Market], reports: Reports) -> None:
        self._connection = connection
        self._markets = markets
        self._reports = reports

    async def order(self, market: Market, client_order_id: str) -> OrderSnapshot | None:
        """Ask for one order by the id we gave it; None when the venue does not know it.

        Raises:
            VenueUnavailable: No answer, or the venue cannot be asked by this id.
        """
        exchange = self._connection.exchange
        known = self._reports.find(client_order_id)
        venue_order_id = known.venue_order_id if known is not None else ""
        what = f"order {client_order_id}"
        by_our_id = self._connection.profile.client_order_id.ask
        try:
            if by_our_id and (self._connection.speaks_binance or not venue_order_id):
                named = {by_our_id: await self._connection.theirs(client_order_id)}
                ask = partial(exchange.fetch_order, "", market.unified, named)
            elif venue_order_id:
                ask = partial(exchange.fetch_order, venue_order_id, market.unified)
            else:
                return await self._search(market, client_order_id)
            return self.snapshot(market, await self._connection.query(what, ask, weight=4))
        except UnknownOrder:
            return None

    async def _search(self, market: Market, client_order_id: str) -> OrderSnapshot | None:
        """Look for an order by our id where the venue asks for its own: among the open ones, then among all others."""
        exchange, by_our_id = self._connection.exchange, self._connection.profile.client_order_id.search
        named = {by_our_id: await self._connection.theirs(client_order_id)} if by_our_id else {}
        for order in await self.open_orders(market, named=named):
            if order.client_order_id == client_order_id:
                return order
        offered = next((name for name in _SNAKE if exchange.has.get(name) is True), None)
        if offered is None:
            raise VenueUnavailable(f"{market.id}: the venue lists no ended orders, {client_order_id} cannot be found")
        fetch = getattr(exchange, _SNAKE[offered])
        rows = await self._connection.query(
            f"orders of {market.id}", partial(fetch, market.unified, None, None, named), weight=20
        )
        ours = self._connection.ours
        return next((self.snapshot(market, row) for row in rows if ours(row) == client_order_id), None)

    async def open_orders(
        self, market: Market, *, lane: Lane = Lane.QUERY, named: Mapping[str, str | int] = MappingProxyType({})
    ) -> list[OrderSnapshot]:
        """Ask for the open orders; `named` narrows the question, where the venue knows how."""
        exchange = self._connection.exchange
        rows = await self._connection.query(
            f"open orders of {market.id}",
            lambda: exchange.fetch_open_orders(market.unified, None, None, dict(named)),
            lane=lane,
            weight=6,
        )
        return [self.snapshot(market, row) for row in rows]

    async def trades_of(self, market: Market, order: OrderSnapshot) -> list[Fill]:
        """Every trade of one order."""
        exchange = self._connection.exchange
        if self._connection.speaks_binance:
            params: dict[str, Any] = {"orderId": order.venue_order_id}
            rows = await self._trade_page(market, None, params, weight=5)
        elif exchange.has.get("fetchOrderTrades") is True:
            rows = await self._connection.query(
                f"trades of order {order.client_order_id}",
                lambda: exchange.fetch_order_trades(order.venue_order_id, market.unified),
            )
        else:
            rows = await self._trade_page(market, None, {})
        self._reports.learn_name(market.id, order.venue_order_id, order.client_order_id)
        return await self._fills(market, [row for row in rows if str(row.get("order")) == order.venue_order_id])

    async def trades(self, market: Market, cursor: TradeCursor) -> list[Fill]:
        """Every trade beyond the cursor, oldest first; the cursor moves past them."""
        rows: list[Mapping[str, Any]] = []
        while True:
            page = await self._page(market, cursor)
            fresh = [row for row in page if not cursor.covers(row)]
            rows += fresh
            cursor.advance(fresh)
            if not fresh or len(page) < PAGE:
                break
        return await self._fills(market, rows)

    async def latest(self, market: Market) -> TradeCursor:
        """Give a cursor behind which lie all trades the venue has at this moment."""
        cursor = TradeCursor(is_numbered=self._connection.speaks_binance)
        if self._connection.speaks_binance:
            cursor.advance(await self._trade_page(market, 1, {}))
        else:
            while fresh := [row for row in await self._page(market, cursor) if not cursor.covers(row)]:
                cursor.advance(fresh)
        return cursor

    async def balances(self, *, starting: bool = False) -> dict[str, int]:
        """Free plus locked by asset id: everything that is not zero, and the followed instruments' assets.

        A position in a followed swap counts as holding its base asset, less than nothing when short.
        """
        exchange, settings = self._connection.exchange, self._connection.settings
        answer = await self._connection.query("balances", exchange.fetch_balance, weight=20, starting=starting)
        held: dict[str, int] = {}
        for market in self._markets.values():
            held |= {market.instrument.base.id: 0, market.instrument.quote.id: 0}
        for code, total in (answer.get("total") or {}).items():
            asset_id = f"{settings.id}/{code}"
            raw = to_raw(total, settings.asset_decimals) if total is not None else 0
            if raw or asset_id in held:
                held[asset_id] = raw
        for position in await fetch_positions(self._connection, self._markets):
            instrument = self._markets[position.instrument].instrument
            held[instrument.base.id] += to_raw(instrument.qty(position.qty_lots), settings.asset_decimals)
        return held

    async def with_fees(self, market: Market) -> Market:
        """Give the market with the account's own fees; where the venue does not tell them, as it is."""
        return await with_account_fees(self._connection, market)

    def snapshot(self, market: Market, row: Mapping[str, Any]) -> OrderSnapshot:
        """Read ccxt's order.

        Raises:
            InputError: Its state or its executed size cannot be read.
        """
        state = _STATES.get(str(row.get("status")))
        if state is None:
            raise InputError(f"{market.id}: order {row.get('id')} has the unknown state {row.get('status')!r}")
        filled = row.get("filled")
        return OrderSnapshot(
            client_order_id=self._connection.ours(row),
            venue_order_id=str(row.get("id") or ""),
            state=state,
            executed_lots=market.lots(filled) if filled is not None else 0,
        )

    def fill(self, market: Market, row: Mapping[str, Any], client_order_id: str) -> Fill:
        """Read ccxt's trade, exactly.

        Raises:
            InputError: A number is off the instrument's grid or finer than the venue's unit.
            VenueUnavailable: A field is missing or of the wrong kind.
        """
        with reading(f"{market.id}: trade {row.get('id')}"):
            return self._fill(market, row, client_order_id)

    def _fill(self, market: Market, row: Mapping[str, Any], client_order_id: str) -> Fill:
        instrument = market.instrument
        price_ticks = instrument.ticks(to_decimal(row["price"]))
        qty_lots = market.lots(row["amount"])
        fee = row.get("fee") or {}
        cost = fee.get("cost")
        return Fill(
            venue=str(instrument.venue),
            symbol=instrument.symbol,
            trade_id=str(row["id"]),
            client_order_id=client_order_id,
            venue_order_id=str(row["order"]),
            side=Side(row["side"]),
            price_ticks=price_ticks,
            qty_lots=qty_lots,
            quote_raw=quote_raw(instrument, price_ticks, qty_lots),
            fee_asset=str(fee.get("currency") or instrument.quote.symbol),
            fee_raw=to_raw(cost, self._connection.settings.asset_decimals) if cost is not None else 0,
            is_maker=row.get("takerOrMaker") == "maker",
            venue_time_ns=int(row.get("timestamp") or 0) * 1_000_000,
        )

    async def client_order_id(self, market: Market, venue_order_id: str) -> str:
        """Find out what we called an order that the venue names by its own id."""
        if (name := self._reports.name(market.id, venue_order_id)) is None:
            await self._learn_names(market, [venue_order_id])
            name = self._reports.name(market.id, venue_order_id)
        return name or ""

    # --- pages

    async def _page(self, market: Market, cursor: TradeCursor) -> Sequence[Mapping[str, Any]]:
        if cursor.is_numbered:
            return await self._trade_page(market, PAGE, {"fromId": cursor.last_id + 1}, weight=20)
        return await self._trade_page(market, None, {}, since_ms=cursor.since_ms)

    async def _trade_page(
        self,
        market: Market,
        limit: int | None,
        params: Mapping[str, Any],
        *,
        since_ms: int | None = None,
        weight: int = 20,
    ) -> Sequence[Mapping[str, Any]]:
        exchange = self._connection.exchange
        rows: Sequence[Mapping[str, Any]] = await self._connection.query(
            f"trades of {market.id}",
            lambda: exchange.fetch_my_trades(market.unified, since_ms, limit, dict(params)),
            lane=Lane.QUERY,
            weight=weight,
        )
        return rows

    async def _fills(self, market: Market, rows: Iterable[Mapping[str, Any]]) -> list[Fill]:
        rows = list(rows)
        unnamed = {str(row["order"]) for row in rows if self._reports.name(market.id, str(row["order"])) is None}
        if unnamed:
            await self._learn_names(market, sorted(unnamed))
        return [
            self.fill(market, row, self._reports.name(market.id, str(row["order"])) or "")
            for row in sorted(rows, key=lambda row: int(row.get("timestamp") or 0))
        ]

    async def _learn_names(self, market: Market, venue_order_ids: Sequence[str]) -> None:
        """Trades name orders by the venue's id only; ours are found among the orders."""
        wanted = set(venue_order_ids)
        if self._connection.speaks_binance and len(wanted) > 3:
            next_id = min(map(int, wanted))
            while wanted:
                names = await self._names_from(market, next_id)
                for venue_order_id, name in names.items():
                    self._reports.learn_name(market.id, venue_order_id, name)
                wanted -= names.keys()
                if len(names) < PAGE:
                    break
                next_id = max(map(int, names)) + 1
        for venue_order_id in sorted(wanted):
            self._reports.learn_name(market.id, venue_order_id, await self._name_of(market, venue_order_id))

    async def _names_from(self, market: Market, venue_order_id: int) -> dict[str, str]:
        """Ask for a page of orders from an id on; give our ids by the venue's."""
        exchange = self._connection.exchange
        rows = await self._connection.query(
            f"orders of {market.id}",
            partial(exchange.fetch_orders, market.unified, None, PAGE, {"orderId": venue_order_id}),
            weight=20,
        )
        return {str(row["id"]): self._connection.ours(row) for row in rows}

    async def _name_of(self, market: Market, venue_order_id: str) -> str:
        exchange = self._connection.exchange
        row = await self._connection.query(
            f"order {venue_order_id}", partial(exchange.fetch_order, venue_order_id, market.unified), weight=4
        )
        return self._connection.ours(row)


class TradeCursor:
    """How far the venue's own list of our trades has been read.

    Binance numbers trades per symbol, so everything after an id is new. Elsewhere trades are read again from a minute
    before the newest, and those seen are recognised. Only lists from REST move a cursor: a stream may skip a trade.
    """

    OVERLAP_MS = 60_000

    def __init__(self, *, is_numbered: bool) -> None:
        self.is_numbered = is_numbered
        self.last_id = -1
        self._newest_ms = 0
        self._seen: dict[str, int] = {}

    @property
    def since_ms(self) -> int | None:
        return max(0, self._newest_ms - self.OVERLAP_MS) if self._newest_ms else None

    def covers(self, row: Mapping[str, Any]) -> bool:
        if self.is_numbered:
            return int(row["id"]) <= self.last_id
        return str(row["id"]) in self._seen

    def advance(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if self.is_numbered:
                self.last_id = max(self.last_id, int(row["id"]))
            else:
                time_ms = int(row.get("timestamp") or 0)
                self._seen[str(row["id"])] = time_ms
                self._newest_ms = max(self._newest_ms, time_ms)
        horizon = self._newest_ms - 2 * self.OVERLAP_MS
        if len(self._seen) > 10_000:
            self._seen = {trade: at for trade, at in self._seen.items() if at >= horizon}
