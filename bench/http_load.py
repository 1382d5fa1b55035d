"""A load of HTTP requests: keep-alive connections of one process, each request written before the clock runs.

The client is as thin as Python allows, because it shares the cores with what is measured: answers are recognised by
their length alone, and their bodies are kept to be looked at afterwards. At a given rate latencies run from the instant
a request was due, not from when a late client sent it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_TICK_S: Final = 0.001
"""uvloop counts in whole milliseconds."""


@dataclass(frozen=True)
class Answers:
    """What a run measured."""

    seconds: float
    latencies: list[float]
    """In seconds, sorted."""
    heads: list[bytes]
    bodies: list[bytes]

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))] * 1e3

    def told(self) -> str:
        return (
            f"{self.rate:,.0f}/s, p50 {self.percentile_ms(0.5):.1f} p90 {self.percentile_ms(0.9):.1f}"
            f" p99 {self.percentile_ms(0.99):.1f} max {self.latencies[-1] * 1e3:.0f} ms"
        )


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._bytes = b""
        self._number = -1
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not asyncio's by class.

    def ask(self, number: int, request: bytes) -> None:
        assert self.transport is not None
        self._number = number
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head, end, body = self._bytes.partition(b"\r\n\r\n")
        if not end:
            return
        found = _LENGTH.search(head)
        if found is None:
            raise AssertionError(f"an answer without a length: {head!r}")
        if len(body) >= int(found[1]):
            self._bytes = b""
            self._load.answered(self, self._number, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)


class _Load:
    def __init__(self, requests: Sequence[bytes]) -> None:
        count = len(requests)
        self.requests = requests
        self.due, self.ends = [0.0] * count, [0.0] * count
        self.heads, self.bodies = [b""] * count, [b""] * count
        self.free: deque[_Connection] = deque()
        self.waiting: deque[int] = deque()
        self.left = count
        self.done = asyncio.get_running_loop().create_future()

    def ask(self, number: int, now: float) -> None:
        """Ask on a connection that is free, or as soon as one is; without a rate it is due then."""
        if not self.free:
            self.waiting.append(number)
            return
        self.due[number] = self.due[number] or now
        self.free.popleft().ask(number, self.requests[number])

    def answered(self, connection: _Connection, number: int, head: bytes, body: bytes) -> None:
        self.ends[number] = now = time.perf_counter()
        self.heads[number], self.bodies[number] = head, body
        self.left -= 1
        if self.waiting:
            following = self.waiting.popleft()
            self.due[following] = self.due[following] or now
            connection.ask(following, self.requests[following])
        else:
            self.free.append(connection)
        if not self.left and not self.done.done():
            self.done.set_result(None)

    def lost(self, exc: Exception | None) -> None:
        if self.left and not self.done.done():
            self.done.set_exception(ConnectionError(f"the server closed a connection: {exc}"))


async def ask(port: int, requests: Sequence[bytes], *, connections: int, rate: float = 0.0) -> Answers:
    """Send all requests: `rate` of them a second, or as fast as the connections are answered."""
    loop, load = asyncio.get_running_loop(), _Load(requests)
    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
        opened.append(connection)
    load.free.extend(opened)
    began, sent = time.perf_counter(), 0
    while sent < len(requests):
        if load.done.done():
            break
        now = time.perf_counter()
        while sent < len(requests) and (not rate or began + sent / rate <= now):
            load.due[sent] = began + sent / rate if rate else 0.0
            load.ask(sent, now)
            sent += 1
        await asyncio.sleep(_TICK_S)
    async with asyncio.timeout(120):
        await load.done
    seconds = max(load.ends) - began
    for connection in opened:
        assert connection.transport is not None
        connection.transport.close()
    latencies = sorted(end - due for end, due in zip(load.ends, load.due, strict=True))
    return Answers(seconds, latencies, load.heads, load.bodies)


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Write one request."""
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
