"""When exactly did an order leave? Watches the sockets beneath ccxt for the request of one task.

The task that places an order sets a `Handover` in a context variable. The WebSocket sender and aiohttp's request
tracing run in copies of that task's context, find it there and note when the encoded bytes were given to the socket.
That instant is the end of tick-to-order latency; whether there was one tells a lost answer from a lost question.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from runtime import Clock

CURRENT: ContextVar[Handover | None] = ContextVar("cex_handover", default=None)


@dataclass(slots=True)
class Handover:
    """What is known about the bytes of one request."""

    touched: bool = False
    """Some of them may have left this machine."""
    sent_ns: int = 0
    """Monotonic instant at which all of them were given to the socket."""
    withdrawn: bool = False
    """Nobody waits for it any more: it must not be sent from here on."""
    status: int | None = None
    """HTTP status of the answer."""
    request_id: str = ""
    """ccxt's id of a WebSocket request."""


def http_tracing(clock: Clock) -> aiohttp.TraceConfig:
    """Tell the current handover when a request's headers and body were written."""

    async def written(_session: Any, _context: SimpleNamespace, _params: Any) -> None:
        if handover := CURRENT.get():
            handover.touched = True
            handover.sent_ns = clock.monotonic_ns()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(written)
    trace.on_request_chunk_sent.append(written)
    return trace


def watch_sender(client: Any, clock: Clock) -> None:
    """Replace a ccxt WebSocket client's `send` by one that tells the current handover, and obeys its withdrawal."""
    original = client.send

    async def send(message: Any) -> None:
        handover = CURRENT.get()
        if handover is None:
            await original(message)
            return
        if handover.withdrawn:
            return
        if isinstance(message, dict):
            handover.request_id = str(message.get("id", ""))
        # ccxt checks for a closed socket itself, before writing.
        handover.touched = not client.closed()
        await original(message)
        handover.sent_ns = clock.monotonic_ns()

    client.send = send
