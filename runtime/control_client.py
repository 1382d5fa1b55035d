"""One connection to a process's door for everything that a process of ours asks it: `runtime.control` has the lines.

Opening a connection for each request costs both sides more than the request. This one is opened by the first who asks,
and anew after it was lost. What was under way then has an unknown outcome; what the process said it did not read is
unavailable.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec

from domain import InputError, OutcomeUnknown
from runtime.control import ANSWER_MAX, LINE_MAX, Answered, Numbered, error_of, nobody_at

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Answered).decode


class ControlClient:
    """Asks the process that listens at a path. Of one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._link: _Link | None = None
        self._opening = asyncio.Lock()

    async def ask(self, request: dict[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
        """Send one request and wait for its answer; raises what `runtime.control.ask_control` raises.

        Of a request that is longer than the process reads an InputError, and nothing was sent.
        """
        link = self._link
        if link is None or not link.is_open:
            link = await self._open(timeout_s)
        command = str(request.get("command", ""))
        try:
            answer = await link.ask(request, timeout_s)
        except _NotReadError as exc:
            raise nobody_at(self._path) from exc
        except (TimeoutError, ConnectionError) as exc:
            raise OutcomeUnknown(f"no answer from {self._path}", request_id=command) from exc
        if "error" in answer:
            raise error_of(answer, command)
        return answer

    async def _open(self, timeout_s: float) -> _Link:
        async with self._opening:
            if self._link is not None and self._link.is_open:
                return self._link  # Somebody else has opened it meanwhile.
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(timeout_s):
                    _, self._link = await loop.create_unix_connection(_Link, str(self._path))
            except (OSError, TimeoutError) as exc:
                raise nobody_at(self._path) from exc
            return self._link

    def close(self) -> None:
        """Let the connection go; who asks later opens another."""
        if self._link is not None:
            self._link.close()


class _NotReadError(Exception):
    """The process ended the connection, and said that it did not read the request before."""


class _Link(asyncio.Protocol):
    """The connection: requests out, answers by number in."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._bytes = bytearray()
        self._read: int | None = None
        """How many requests the process has read, once it said that it reads no more."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._transport is not None
        line = _ENCODE(Numbered(self._number + 1, request)) + b"\n"
        if len(line) > LINE_MAX:  # The process would end the connection over it, which is others' too.
            raise InputError(f"a request of {len(line)} bytes; at most {LINE_MAX}", hint="say less at once")
        self._number = number = self._number + 1
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            self._transport.write(line)
            async with asyncio.timeout(timeout_s):
                return await waiting
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not asyncio's by class.

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        *lines, rest = self._bytes.split(b"\n")
        self._bytes = rest
        for line in lines:
            try:
                answered = _DECODE(line)
            except msgspec.DecodeError:
                self.close()
                return
            if not answered.id:
                self._read = answered.answer.get("read")
                self.close()
                continue
            waiting = self._waiting.get(answered.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answered.answer)
        if len(rest) > ANSWER_MAX:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for number, waiting in self._waiting.items():
            if waiting.done():
                continue
            if self._read is not None and number > self._read:
                waiting.set_exception(_NotReadError())
            else:
                waiting.set_exception(ConnectionResetError("the process ended the connection"))
