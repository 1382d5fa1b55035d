"""Our own trades and orders on Binance-protocol venues, straight from `executionReport` events.

One WebSocket to the venue's WebSocket API, subscribed by signature. Whatever happened while it was down is not
repeated by the venue: the owner is told of every new connection and compares with REST before trusting it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
import structlog

from cex.binance.connection import BinanceConnection
from cex.binance.errors import Refusal
from cex.binance.messages import Answer, ExecutionReport, Kind
from cex.binance.reading import reported_fill, state
from cex.binance.silence import WatchedLine
from cex.limiter import Lane
from cex.markets import Market
from cex.numbers import to_decimal
from cex.reports import Reports
from cex.sockets import Socket, open_socket, receive
from domain import InputError, VenueUnavailable

log = structlog.get_logger(__name__)

_BROKEN = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    Refusal,
    VenueUnavailable,
    msgspec.MsgspecError,
    UnicodeDecodeError,
)


class BinanceUserStream:
    """Reads one account's events for as long as it runs."""

    def __init__(
        self,
        connection: BinanceConnection,
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
        self.line = WatchedLine(connection.clock)
        """For whoever finds out that it is silent."""
        self._asset_decimals = connection.settings.asset_decimals
        self._answer = msgspec.json.Decoder(Answer).decode
        self._kind = msgspec.json.Decoder(Kind).decode
        self._execution = msgspec.json.Decoder(ExecutionReport).decode

    async def run(self) -> None:
        """Stay subscribed until cancelled."""
        while True:
            try:
                await self._follow()
            except _BROKEN as exc:
                log.warning(
                    "user_stream.lost", venue=self._connection.settings.id, error=str(exc) or type(exc).__name__
                )
                if self._connection.is_untimely(exc):
                    await self._connection.resynchronise_clock()
            self._on_down("disconnected")
            await asyncio.sleep(self.line.backoff_s())

    async def _follow(self) -> None:
        connection = self._connection
        await connection.limiter.enter(Lane.QUERY, weight=4)
        socket = await open_socket(connection.session, connection.endpoints.ws_api, connection.timeout_s)
        try:
            request = {
                "id": "subscribe",
                "method": "userDataStream.subscribe.signature",
                "params": connection.signer.message({"timestamp": connection.timestamp_ms()}),
            }
            async with asyncio.timeout(connection.timeout_s):
                await socket.send_json(request)
                while not self._take(await receive(socket)):
                    pass
            self._on_up()
            await self.line.read(self._listen(socket))
        finally:
            await socket.close()

    async def _listen(self, socket: Socket) -> None:
        while True:
            data = await receive(socket)
            self.line.heard()
            self._take(data)

    def _take(self, data: bytes) -> bool:
        """Take one message; return whether it confirmed the subscription."""
        message = self._answer(data)
        if message.id == "subscribe":
            if message.status != 200:
                fault = message.error
                raise Refusal(message.status, fault.code if fault else None, fault.msg if fault else "no reason")
            return True
        if message.event:
            kind = self._kind(message.event).name
            if kind == "executionReport":
                try:
                    self._report(self._execution(message.event))
                except InputError as exc:
                    # The stream told something that cannot be: REST has the last word.
                    raise VenueUnavailable(f"executionReport unreadable: {exc}") from exc
            elif kind == "eventStreamTerminated":
                raise VenueUnavailable("the venue ended the stream")
        return False

    def _report(self, report: ExecutionReport) -> None:
        market = self._by_symbol.get(report.symbol)
        if market is None:
            return
        now_ns = self._connection.clock.monotonic_ns()
        name = report.order_name
        if report.execution == "TRADE":
            self._reports.fill(market.id, reported_fill(market, report, self._asset_decimals), now_ns)
        self._reports.state(
            name,
            market.id,
            state(report.status),
            market.instrument.lots(to_decimal(report.executed_qty)),
            now_ns,
            venue_order_id=str(report.order_id),
            reason="" if report.reason == "NONE" else report.reason,
        )
