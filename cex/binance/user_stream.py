"""Our own trades and orders on Binance-protocol venues, straight from `executionReport` events.

One WebSocket to the venue's WebSocket API, subscribed by signature. Whatever happened while it was down is not
repeated by the venue: the owner is told of every new connection and compares with REST before trusting it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
import structlog

from cex.connection import Connection
from cex.limiter import Lane
from cex.markets import Market
from cex.numbers import quote_raw, to_decimal, to_raw
from cex.reports import Reports
from domain import Fill, InputError, OrderState, Side, VenueUnavailable

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0
BACKOFF_S = (0.05, 5.0)
_STATES = {
    "NEW": OrderState.ACCEPTED,
    "PENDING_NEW": OrderState.ACCEPTED,
    "PARTIALLY_FILLED": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}


class BinanceUserStream:
    """Reads one account's events for as long as it runs."""

    def __init__(
        self,
        connection: Connection,
        markets: Mapping[str, Market],
        reports: Reports,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._by_symbol = {market.venue_symbol: market for market in markets.values()}
        self._reports = reports
        self._on_up = on_up
        self._on_down = on_down
        self._failures = 0

    async def run(self) -> None:
        """Stay subscribed until cancelled."""
        while True:
            try:
                await self._follow()
            except (aiohttp.ClientError, OSError, TimeoutError, VenueUnavailable, msgspec.MsgspecError) as exc:
                log.warning(
                    "user_stream.lost", venue=self._connection.settings.id, error=str(exc) or type(exc).__name__
                )
            self._on_down("disconnected")
            delay_s = min(BACKOFF_S[0] * 2**self._failures, BACKOFF_S[1])
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(delay_s)

    async def _follow(self) -> None:
        connection = self._connection
        await connection.limiter.enter(Lane.QUERY, weight=4)
        async with asyncio.timeout(connection.timeout_s):
            socket = await connection.session.ws_connect(
                str(connection.exchange.urls["api"]["ws"]["ws-api"]["spot"]),
                heartbeat=HEARTBEAT_S,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        try:
            request = {
                "id": "subscribe",
                "method": "userDataStream.subscribe.signature",
                "params": connection.exchange.sign_params({}),
            }
            async with asyncio.timeout(connection.timeout_s):
                await socket.send_json(request)
                while not self._take(await self._receive(socket)):
                    pass
            self._failures = 0
            self._on_up()
            while True:
                self._take(await self._receive(socket))
        finally:
            await socket.close()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> dict[str, Any]:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise VenueUnavailable(f"stream ended: {message.type.name} {socket.close_code}")
        decoded = msgspec.json.decode(message.data)
        return decoded if isinstance(decoded, dict) else {}

    def _take(self, message: dict[str, Any]) -> bool:
        """Take one message; return whether it confirmed the subscription."""
        if message.get("id") == "subscribe":
            if message.get("status") != 200:
                raise VenueUnavailable(f"user stream refused: {message.get('error')}")
            return True
        event = message.get("event")
        if isinstance(event, dict):
            kind = event.get("e")
            if kind == "executionReport":
                try:
                    self._report(event)
                except (InputError, KeyError, TypeError, ValueError) as exc:
                    # The stream told something unreadable: REST has the last word.
                    raise VenueUnavailable(f"executionReport unreadable: {type(exc).__name__} {exc}") from exc
            elif kind == "eventStreamTerminated":
                raise VenueUnavailable("the venue ended the stream")
        return False

    def _report(self, event: dict[str, Any]) -> None:
        market = self._by_symbol.get(event["s"])
        if market is None:
            return
        now_ns = self._connection.clock.monotonic_ns()
        # A cancel's report carries the cancel's own id in `c` and the order's in `C`.
        client_order_id = str(event.get("C") or event["c"])
        if event["x"] == "TRADE":
            self._reports.fill(market.id, self._fill(market, event, client_order_id), now_ns)
        state = _STATES.get(event["X"])
        if state is None:
            raise InputError(f"unknown order status {event['X']!r}")
        reason = str(event.get("r") or "")
        self._reports.state(
            client_order_id,
            market.id,
            state,
            market.instrument.lots(to_decimal(event["z"])),
            now_ns,
            venue_order_id=str(event["i"]),
            reason="" if reason == "NONE" else reason,
        )

    def _fill(self, market: Market, event: dict[str, Any], client_order_id: str) -> Fill:
        instrument, exchange = market.instrument, self._connection.exchange
        price_ticks, qty_lots = instrument.ticks(to_decimal(event["L"])), instrument.lots(to_decimal(event["l"]))
        fee_asset = event.get("N")
        return Fill(
            venue=str(instrument.venue),
            symbol=instrument.symbol,
            trade_id=str(event["t"]),
            client_order_id=client_order_id,
            venue_order_id=str(event["i"]),
            side=Side(event["S"].lower()),
            price_ticks=price_ticks,
            qty_lots=qty_lots,
            quote_raw=quote_raw(instrument, price_ticks, qty_lots),
            fee_asset=str(exchange.safe_currency_code(fee_asset)) if fee_asset else instrument.quote.symbol,
            fee_raw=to_raw(event.get("n") or "0", self._connection.settings.asset_decimals) if fee_asset else 0,
            is_maker=bool(event["m"]),
            venue_time_ns=int(event["T"]) * 1_000_000,
        )
