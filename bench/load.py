"""A load of signed orders over the WebSocket API: many connections of a process, frames written before the clock runs.

The client is as thin as Python allows (its own framing, answers recognised by their id), because it shares the cores
with what is measured. Latencies run from the instant an order was due, not from when a late client sent it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import struct
import time
from dataclasses import dataclass, field
from typing import cast

from cex.sandbox import AccountSpec

_TICK_S = 0.001
"""uvloop counts in whole milliseconds: less would spin, and take the core that the server needs."""


@dataclass
class Outcome:
    """What a run measured. Latencies in seconds."""

    seconds: float
    latencies: list[float]
    refused: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


@dataclass
class Load:
    """Orders by number: due when, answered when."""

    due: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    left: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, payload: bytes, now: float) -> None:
        if not payload.startswith(b'{"id":'):
            return  # A user data event.
        number = int(payload[6 : payload.index(b",", 6)])
        if b'"status":200' not in payload[:40]:
            self.refused.append(payload)
        self.answered[number] = now
        self.left -= 1
        if not self.left:
            self.done.set()


class Socket(asyncio.Protocol):
    """One client connection of the WebSocket protocol, as far as a load needs it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._bytes = b""
        self.is_open = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            b"GET /ws-api/v3 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        data = self._bytes + data
        if not self.is_open.is_set():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._bytes = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head[:80].decode())
            self.is_open.set()
        at = 0
        while len(data) - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                if len(data) - at < 4:
                    break
                (size,) = struct.unpack_from(">H", data, at + 2)
                start = at + 4
            if len(data) < start + size:
                break
            if data[at] == 0x81:
                self._load.answer(data[start : start + size], now)
            at = start + size
        self._bytes = data[at:]


def order_frame(number: int, account: AccountSpec, now_ms: int, **terms: str) -> bytes:
    """Write and sign one `order.place`."""
    assert account.secret is not None
    params = {"apiKey": account.api_key, "recvWindow": "60000", "timestamp": str(now_ms)} | terms
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    text = json.dumps({"id": number, "method": "order.place", "params": params}).encode()
    # A mask of zeros: legal, and nothing to do for a client whose bytes are no secret.
    return struct.pack(">BBH4x", 0x81, 0x80 | 126, len(text)) + text


async def place(
    port: int, accounts: list[AccountSpec], count: int, *, rate: float = 0.0, window: int = 0, crossing: bool = True
) -> Outcome:
    """Place orders from one connection per account: `rate` of them a second, or always `window` under way.

    Buys and sells of one size at one price take turns, so that every second order trades.
    """
    load = Load([0.0] * count, [0.0] * count, left=count)
    loop = asyncio.get_running_loop()
    sockets = [(await loop.create_connection(lambda: Socket(load), "127.0.0.1", port))[1] for _ in accounts]
    async with asyncio.timeout(10):
        for socket in sockets:
            await socket.is_open.wait()
    now_ms, run = time.time_ns() // 1_000_000, os.urandom(4).hex()
    frames = []
    for number in range(count):
        terms = {"symbol": "ETHUSDC", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "3000"}
        terms |= {"side": "SELL" if number % 2 else "BUY", "newClientOrderId": f"{run}-{number}"}
        if not crossing:
            terms["timeInForce"], terms["side"], terms["price"] = "IOC", "BUY", "2000"
        frames.append(order_frame(number, accounts[number % len(accounts)], now_ms, **terms))
    transports = [socket.transport for socket in sockets if socket.transport is not None]
    began = time.perf_counter()
    if rate:
        sent = 0
        while sent < count:
            now = time.perf_counter()
            while sent < count and began + sent / rate <= now:
                load.due[sent] = began + sent / rate
                transports[sent % len(transports)].write(frames[sent])
                sent += 1
            await asyncio.sleep(_TICK_S)
    else:
        sent = 0
        while sent < count:
            now = time.perf_counter()
            under_way = sent - (count - load.left)
            for _ in range(min(window - under_way, count - sent)):
                load.due[sent] = now
                transports[sent % len(transports)].write(frames[sent])
                sent += 1
            await asyncio.sleep(0)
    async with asyncio.timeout(120):
        await load.done.wait()
    seconds = max(load.answered) - began
    for transport in transports:
        transport.close()
    if load.refused:
        raise AssertionError(f"{len(load.refused)} orders refused, the first with {load.refused[0][:200]!r}")
    return Outcome(seconds, [end - due for end, due in zip(load.answered, load.due, strict=True)])
