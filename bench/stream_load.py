"""Many stream clients in one process, as thin as Python allows: frames cut apart, `seq` and `prev` followed."""

from __future__ import annotations

import asyncio
import json
import re
import socket as sockets
import struct
import time
from dataclasses import dataclass, field
from typing import Final, cast

_NUMBERS: Final = re.compile(rb'"seq":(\d+),"prev":(\d+|null),"ts":"(\d+)"')
_NAIVE: Final = re.compile(rb'"ts":"(\d+)","seq":(\d+)')
_EPOCH: Final = re.compile(rb'"epoch":"([0-9a-f]+)"')


@dataclass
class Heard:
    """What all clients heard since it was cleared."""

    messages: int = 0
    gaps: int = 0
    snapshots: int = 0
    latencies: list[float] = field(default_factory=list)
    """From publication to the client, in seconds."""

    def clear(self) -> None:
        self.messages = self.gaps = self.snapshots = 0
        self.latencies.clear()

    def percentile_ms(self, share: float) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))] * 1e3


class Client(asyncio.Protocol):
    """One connection to `/v1/stream`, or to the naive loop."""

    def __init__(self, path: str, heard: Heard, subscription: dict[str, str] | None) -> None:
        self._path, self._heard, self._subscription = path, heard, subscription
        self._bytes = b""
        self._is_open = False
        self.transport: asyncio.Transport | None = None
        self.epoch, self.seq = "", -1
        self.following = asyncio.Event()
        """Set once the first data has come."""
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not asyncio's by class.
        self.transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.following.set()

    def say(self, message: dict[str, object]) -> None:
        assert self.transport is not None
        text = json.dumps(message).encode()
        # A mask of zeros: legal, and nothing to do for a client whose bytes are no secret.
        head = (
            struct.pack(">BB", 0x81, 0x80 | len(text))
            if len(text) < 126
            else struct.pack(">BBH", 0x81, 0xFE, len(text))
        )
        self.transport.write(head + bytes(4) + text)

    def data_received(self, data: bytes) -> None:
        data = self._bytes + data if self._bytes else data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._bytes = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head[:200].decode())
            self._is_open = True
        at, size = 0, len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                (length,) = struct.unpack_from(">H", data, at + 2)
                start = at + 4
            if size < start + length:
                break
            if data[at] == 0x81:
                self._take(data[start : start + length])
            at = start + length
        self._bytes = data[at:]

    def _take(self, message: bytes) -> None:
        if message.startswith(b'{"t":"ready"') and self._subscription is not None:
            self.say({"op": "sub", **self._subscription} | self._stand())
            return
        if message.startswith(b'{"ts":'):
            self._heard.messages += 1
            found = _NAIVE.search(message, 0, 80)
            assert found is not None
            self._heard.latencies.append(time.time() - int(found[1]) / 1e9)
            self.following.set()
            return
        if not message.startswith((b'{"t":"delta"', b'{"t":"snap"')):
            return
        found = _NUMBERS.search(message, 0, 240)
        assert found is not None, message[:240]
        seq = int(found[1])
        if found[2] == b"null":
            self._heard.snapshots += 1
            epoch = _EPOCH.search(message)
            assert epoch is not None
            self.epoch = epoch[1].decode()
        else:
            self._heard.gaps += int(found[2]) != self.seq
            self._heard.latencies.append(time.time() - int(found[3]) / 1e9)
        self.seq = seq
        self._heard.messages += 1
        self.following.set()

    def _stand(self) -> dict[str, object]:
        return {"from": {"epoch": self.epoch, "seq": self.seq}} if self.epoch else {}


async def connect(
    port: int, path: str, heard: Heard, subscription: dict[str, str] | None, *, slow_buffer: int = 0
) -> Client:
    """Open one connection; `slow_buffer` is its receive buffer, for one that is going to take nothing."""
    client = Client(path, heard, subscription)
    found = sockets.socket()
    if slow_buffer:
        found.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, slow_buffer)
    found.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(found, ("127.0.0.1", port))
    await loop.create_connection(lambda: client, sock=found)
    return client


async def following(clients: list[Client], within_s: float = 60.0) -> None:
    """Wait until each has heard something."""
    async with asyncio.timeout(within_s):
        for client in clients:
            await client.following.wait()
