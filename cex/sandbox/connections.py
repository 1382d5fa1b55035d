"""One WebSocket client: a bounded queue in front of a socket that may be slow.

Policy when the queue is full: the connection is cut. The client lost messages, so it must start over, and nobody else
waits for it. (A close frame would only wait behind what the client does not read.) Each message waits until what it
tells of is in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from cex.sandbox.config import LimitsConfig
from cex.sandbox.journal import Gate

log = structlog.get_logger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_CLOSE_TIMEOUT_S: Final = 1.0


class Connection:
    """A client's socket. `send` never blocks; `run` writes until the client is gone."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        limits: LimitsConfig,
        gate: Gate,
        *,
        is_in_microseconds: bool,
    ) -> None:
        self.is_in_microseconds = is_in_microseconds
        """Whether the client asked for times in microseconds when it connected."""
        self.address = request.remote or ""
        self._socket = socket
        self._request = request
        self._gate = gate
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(limits.stream_queue_max)
        self._seconds_max = limits.connection_seconds_max
        self._is_cut = False
        self._is_stalled = False
        self._ended = asyncio.Event()
        self._end_code = WSCloseCode.OK

    def send(self, message: Any) -> None:
        """Queue a value as JSON."""
        self.send_encoded(_encode(message))

    def send_encoded(self, message: bytes) -> None:
        if self._is_cut or self._is_stalled:
            return
        try:
            self._queue.put_nowait((self._gate.mark(), message))
        except asyncio.QueueFull:
            log.warning("sandbox.slow_consumer", address=self.address, queued=self._queue.qsize())
            self.abort()

    @property
    def is_stalled(self) -> bool:
        return self._is_stalled

    @property
    def is_of_streams(self) -> bool:
        """Whether it came through the door of the streams, not that of the WebSocket API."""
        return not self._request.path.startswith("/ws-api")

    def stall(self) -> None:
        """Say nothing any more, without closing: pings are still answered."""
        self._is_stalled = True

    def close_soon(self, code: WSCloseCode) -> None:
        """Let `run` close the socket with this code."""
        if not self._ended.is_set():
            self._end_code = code
            self._ended.set()

    async def run(self) -> None:
        """Write queued messages until told to close or the client is gone."""
        ended = asyncio.create_task(self._ended.wait(), name="sandbox.ended")
        writer = asyncio.create_task(self._write(), name="sandbox.write")
        try:
            over = (ended, writer)
            done, _ = await asyncio.wait(over, timeout=self._seconds_max, return_when=asyncio.FIRST_COMPLETED)
            if not done:  # The venue, too, lets nobody stay for more than a day.
                self.close_soon(WSCloseCode.GOING_AWAY)
        finally:
            for task in (ended, writer):
                task.cancel()
            await asyncio.gather(ended, writer, return_exceptions=True)
        if self._ended.is_set():
            await self.close(self._end_code)

    async def close(self, code: WSCloseCode = WSCloseCode.GOING_AWAY) -> None:
        """Close politely; a client that does not take part in time is cut off."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code)
        # aiohttp gives up by closing the transport, which waits for ever to flush to a client that does not read.
        self.abort()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self) -> None:
        while True:
            mark, message = await self._queue.get()
            if mark > self._gate.durable:
                await self._gate.passed(mark)
            try:
                await self._socket.send_frame(message, WSMsgType.TEXT)
            except ConnectionError:
                return
