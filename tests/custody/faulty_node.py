"""An HTTP proxy in front of a node that loses answers, loses requests and delivers twice, by a seeded plan."""

from __future__ import annotations

import asyncio
import contextlib
import random
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class FaultyNode:
    """Passes JSON-RPC requests on. With `probability`, one of them meets a fault:

    the request is lost (the node never sees it), its answer is lost (the node has acted), or it is delivered twice.
    In every case but the last the connection is cut, as a dying load balancer would.
    """

    def __init__(self, target_url: str, *, seed: int) -> None:
        target = urlsplit(target_url)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._random = random.Random(seed)
        self.probability = 0.0
        """How often a request meets a fault."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.faults = {"request lost": 0, "answer lost": 0, "delivered twice": 0}
        self.is_down = False
        """While set, nobody gets through."""

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await _message(reader):
                if self.is_down:
                    break
                fault = self._random.choice(list(self.faults)) if self._random.random() < self.probability else ""
                if fault:
                    self.faults[fault] += 1
                if fault == "request lost":
                    break
                answer = await self._ask(request)
                if fault == "answer lost":
                    break
                if fault == "delivered twice":
                    answer = await self._ask(request)
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP/1.1 message with a Content-Length; empty at the end of the stream."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head + await reader.readexactly(length)
