"""Questions and answers over the venue's WebSocket API, on a connection of their own, apart from the user stream.

Answers find their questions by id. When the connection goes, every question on it fails at once: what became of it is
not known. A question that nobody waits for any more, on a line that carried nothing since, ends the connection.
Nothing waits for a connection here, because a late order is a wrong order; who asks looks at `is_up`.

With an Ed25519 key the connection logs on once, and what follows is not signed: the venue trusts the connection.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiohttp
import msgspec
import structlog

from cex.binance.connection import BinanceConnection
from cex.binance.errors import Refusal
from cex.binance.messages import Answer
from cex.binance.silence import WatchedLine
from cex.handover import CURRENT
from cex.limiter import Lane
from cex.sockets import Socket, open_socket, receive
from domain import VenueUnavailable

log = structlog.get_logger(__name__)

_FOREIGN = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    Refusal,
    VenueUnavailable,
    msgspec.MsgspecError,
    UnicodeDecodeError,
)


class RequestSocket:
    """One connection at a time, as long as `run` runs."""

    def __init__(self, connection: BinanceConnection) -> None:
        self._connection = connection
        self._socket: Socket | None = None
        self.is_logged_on = False
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._line = WatchedLine(connection.clock)
        self._numbers = itertools.count(1)
        self._decode = msgspec.json.Decoder(Answer).decode

    @property
    def is_up(self) -> bool:
        return self._socket is not None and not self._socket.closed

    def next_id(self) -> str:
        return str(next(self._numbers))

    async def open(self) -> None:
        """Connect, so that the first order does not wait for a handshake."""
        connection = self._connection
        async with asyncio.timeout(connection.timeout_s):
            socket = await open_socket(connection.session, connection.endpoints.ws_api, connection.timeout_s)
            self.is_logged_on = False
            if connection.signer.can_log_on:
                try:
                    await self._log_on(socket)
                except BaseException:
                    await socket.close()
                    raise
            self._socket = socket

    async def run(self) -> None:
        """Read answers, and connect again whenever the connection is lost, until cancelled."""
        try:
            while True:
                try:
                    if not self.is_up:
                        await self.open()
                    await self._line.read(self._read())
                except _FOREIGN as exc:
                    log.warning(
                        "order_socket.lost",
                        venue=self._connection.settings.id,
                        error=type(exc).__name__ if isinstance(exc, aiohttp.ClientError) else str(exc),
                    )
                    if self._connection.is_untimely(exc):
                        await self._connection.resynchronise_clock()
                await self._drop()
                await asyncio.sleep(self._line.backoff_s())
        finally:
            await self._drop()

    async def ask(self, request_id: str, message: str) -> msgspec.Raw:
        """Send one message and wait for the result; the caller bounds the wait.

        Raises:
            Refusal: The answer is no result.
            ConnectionError: There is no connection, or it went before the answer.
        """
        socket = self._socket
        if socket is None or socket.closed:
            raise ConnectionAbortedError("no order socket")
        answer = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        asked_ns = self._connection.clock.monotonic_ns()
        try:
            if handover := CURRENT.get():
                handover.touched = True
            await socket.send_str(message)
            if handover:
                handover.sent_ns = self._connection.clock.monotonic_ns()
            return self._result(await answer)
        except asyncio.CancelledError:
            self._line.doubt(asked_ns)
            raise
        finally:
            del self._waiting[request_id]

    async def _log_on(self, socket: Socket) -> None:
        connection, request_id = self._connection, self.next_id()
        await connection.limiter.enter(Lane.QUERY, weight=2)
        params = {"recvWindow": connection.settings.recv_window_ms, "timestamp": connection.timestamp_ms()}
        request = {"id": request_id, "method": "session.logon", "params": connection.signer.message(params)}
        await socket.send_json(request)
        self._result(self._decode(await receive(socket)))
        self.is_logged_on = True

    def _result(self, answer: Answer) -> msgspec.Raw:
        limiter = self._connection.limiter
        if answer.rate_limits:
            limiter.observe_rows(answer.rate_limits)
        if answer.status == 200:
            return answer.result
        fault = answer.error
        if answer.status in (418, 429):
            limiter.observe(answer.status, {"Retry-After": _retry_after_s(fault.data if fault else None)})
        if fault is None:
            raise Refusal(answer.status, None, "no reason")
        raise Refusal(answer.status, fault.code, fault.msg, fault.data)

    async def _read(self) -> None:
        socket = self._socket
        assert socket is not None
        while True:
            data = await receive(socket)
            self._line.heard()
            answer = self._decode(data)
            waiting = self._waiting.get(str(answer.id))
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionAbortedError("the order socket was lost"))
        if socket is not None:
            await socket.close()


def _retry_after_s(data: Any) -> str:
    """Read how long to wait; a second where it is not said."""
    if isinstance(data, dict):
        until, now = data.get("retryAfter"), data.get("serverTime")
        if isinstance(until, int) and isinstance(now, int) and until > now:
            return str(-(-(until - now) // 1_000))
    return "1"
