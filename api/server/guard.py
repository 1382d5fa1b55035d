"""What a connection may take of us before it has proved anything: time to say what it wants, places, and patience.

uvicorn waits for the head of a request for as long as it takes, and for a reader that takes nothing of its answer: a
few thousand connections that trickle would be all there are. `Guarded` is mixed into its HTTP/1.1 protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

import structlog

from api.auth.networks import Network, is_within
from api.core import figures

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process. A body's time and size are `api.problems`' business, streams' their endpoint's."""

    head_s: float = 10.0
    """A request's line and headers are there within this time, counted from the connection or from their first byte."""
    stall_s: float = 30.0
    """An answer of which nothing is taken for so long is not waited for."""
    connections: int = 8_192
    per_address: int = 256
    trusted: tuple[Network, ...] = ()
    """Proxies, who come for many: `per_address` does not count for them, nor for this machine itself."""


class Timers(Protocol):
    """What calls back after a time: an event loop."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle: ...


class Guarded:
    """A connection that is bounded by `limits`; stands before uvicorn's protocol among the bases."""

    limits: Limits = Limits()
    timers: Timers | None = None
    """Those of the loop, where there are none of a test's own."""

    # Of uvicorn's protocol.
    transport: Any
    loop: asyncio.AbstractEventLoop
    client: tuple[str, int] | None
    connections: Collection[Any]
    cycle: Any

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _is_silent: bool = True
    """Not one byte has come yet."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        if (why := self._objection()) is not None:
            log.warning("server.too_many", why=why, address=self.client and self.client[0])
            figures.CONNECTIONS_CUT.labels(why).inc()
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        before, self._is_silent = self.cycle, False
        if self._head is None and (before is None or before.response_complete):
            self._expect_head()
        super().data_received(data)  # type: ignore[misc]
        if self.cycle is not before:
            self._head_came()

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        self._head_came()
        super().handle_websocket_upgrade(*arguments)  # type: ignore[misc]

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        if self._stall is None:
            self._stall = self._timers.call_later(self.limits.stall_s, self._give_up, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)  # type: ignore[misc]

    # --- parts

    @property
    def _timers(self) -> Timers:
        return self.timers or self.loop

    def _expect_head(self) -> None:
        self._head = self._timers.call_later(self.limits.head_s, self._give_up_head)

    def _head_came(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up_head(self) -> None:
        self._give_up("silent" if self._is_silent else "slow_head")

    def _give_up(self, why: str) -> None:
        # Browsers open connections that they may want later: one that never said a word is not worth a warning.
        tell = log.info if why == "silent" else log.warning
        tell("server.given_up", why=why, address=self.client and self.client[0])
        figures.CONNECTIONS_CUT.labels(why).inc()
        self.transport.abort()

    def _objection(self) -> str | None:
        """Why this connection is one too many."""
        limits = self.limits
        if len(self.connections) > limits.connections:
            return "connections"
        if self.client is None or len(self.connections) <= limits.per_address:
            return None
        address = ip_address(self.client[0])
        if address.is_loopback or is_within(address, limits.trusted):
            return None
        others = (getattr(other, "client", None) for other in self.connections)
        same = sum(other is not None and other[0] == self.client[0] for other in others)
        return "per_address" if same > limits.per_address else None
