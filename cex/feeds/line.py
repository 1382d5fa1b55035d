"""One connection to the public streams of one instrument: connects, asks for its streams, reads, and connects again.

Each connection is an epoch of its own: what it brought has nothing to do with what the next one brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Protocol

import aiohttp
import msgspec
import structlog

from cex.connection import Connection
from cex.sockets import Socket, open_socket, receive
from domain import VenueUnavailable

log = structlog.get_logger(__name__)

BACKOFF_S = (0.05, 5.0)
"""First and longest wait before connecting again."""


class Owner(Protocol):
    """Who is told what happens on a line."""

    def line_message(self, epoch: int, data: bytes, received_ns: int) -> None:
        """Take one message. Subscription answers come here, too.

        Raises:
            VenueUnavailable: The line is of no use; it is closed and opened again.
        """
        ...

    def line_down(self, epoch: int, reason: str) -> None: ...


class Line:
    """See the module."""

    def __init__(
        self,
        connection: Connection,
        *,
        name: str,
        url: str,
        opening: tuple[str, ...],
        epochs: Iterator[int],
        owner: Owner,
        on_silence: Callable[[], Awaitable[None]],
        ping: str = "",
    ) -> None:
        """`opening` is sent on each new connection; `on_silence` is awaited whenever nothing has come for
        `stale_after_ms`. `ping`, where the venue wants one of its own, is sent three times within that."""
        self.name = name
        self.epoch = -1
        self.failures = 0
        self._told = -1
        self._connection = connection
        self._url = url
        self._opening = opening
        self._ping = ping
        self._epochs = epochs
        self._owner = owner
        self._on_silence = on_silence
        self._socket: Socket | None = None
        self._closing: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            self.epoch = next(self._epochs)
            reason = ""
            try:
                await self._follow()
            except (aiohttp.ClientError, OSError, TimeoutError, VenueUnavailable, msgspec.MsgspecError) as exc:
                reason = _describe(exc)
            self._down(reason)
            delay_s = min(BACKOFF_S[0] * 2**self.failures, BACKOFF_S[1])
            self.failures = min(self.failures + 1, 10)
            log.info("feed.reconnecting", line=self.name, delay_s=delay_s, reason=reason)
            await asyncio.sleep(delay_s)

    def abandon(self) -> None:
        """Close the connection that is open now, whose owner trusts it no longer; `run` opens the next."""
        if self._socket is not None and (self._closing is None or self._closing.done()):
            self._closing = asyncio.create_task(self._socket.close(), name=f"cex.line.{self.name}.close")

    def _down(self, reason: str) -> None:
        """Tell the owner, once for each epoch."""
        if self._told != self.epoch:
            self._told = self.epoch
            self._owner.line_down(self.epoch, reason)

    async def _follow(self) -> None:
        """Live through one connection."""
        timeout_s = self._connection.timeout_s
        socket = await open_socket(self._connection.session, self._url, timeout_s)
        self._socket, pinging = socket, None
        try:
            async with asyncio.timeout(timeout_s):
                for message in self._opening:
                    await socket.send_str(message)
            if self._ping:
                pinging = asyncio.create_task(self._keep_alive(socket), name=f"cex.line.{self.name}.ping")
            await self._read(socket)
        except BaseException as exc:
            # Told before the close, which may wait for a peer that is gone.
            self._down(_describe(exc))
            raise
        finally:
            self._socket = None
            if pinging is not None:
                pinging.cancel()
            await socket.close()

    async def _keep_alive(self, socket: Socket) -> None:
        """Ping until cancelled, or until the socket is gone, which `_read` notices, too."""
        with suppress(aiohttp.ClientError, OSError):
            while True:
                await asyncio.sleep(self._connection.settings.stale_after_ms / 3_000)
                await socket.send_str(self._ping)

    async def _read(self, socket: Socket) -> None:
        silence_s = self._connection.settings.stale_after_ms / 1000
        monotonic_ns, take = self._connection.clock.monotonic_ns, self._owner.line_message
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    data = await receive(socket)
            except TimeoutError:
                await self._on_silence()
                continue
            take(self.epoch, data, monotonic_ns())


def _describe(exc: BaseException) -> str:
    return "disconnected" if isinstance(exc, asyncio.CancelledError) else f"{type(exc).__name__}: {exc}"
