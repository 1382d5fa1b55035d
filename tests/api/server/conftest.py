"""The API's server on a loopback port of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.websockets import WebSocket

from api.server.serving import Server
from tests.api.lab import api_services, application

PATIENCE_S = 60.0
"""How long a test waits for what must come; nothing is asserted of how long it took."""


class Held:
    """The application, one of whose routes does not answer before it is let."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.state = app.state
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"] == "/held":
            self.asked.set()
            await self.release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"done"})
        elif scope["type"] == "http" and scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(2_000):  # 128 MB: more than any buffer takes.
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        elif scope["type"] == "websocket" and scope["path"] == "/open":
            socket = WebSocket(scope, receive, send)
            await socket.accept()
            await socket.receive()
        else:
            await self.app(scope, receive, send)


class HandTimers:
    """Timers that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._pending: list[HandTimer] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> HandTimer:
        timer = HandTimer(self.now + delay, callback, args)
        self._pending.append(timer)
        return timer

    @property
    def pending(self) -> int:
        return sum(not timer.is_over for timer in self._pending)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in list(self._pending):
            if not timer.is_over and timer.due <= self.now:
                timer.is_over = True
                timer.callback(*timer.args)


@dataclass
class HandTimer:
    """One of them."""

    due: float
    callback: Callable[..., object]
    args: tuple[Any, ...]
    is_over: bool = False

    def cancel(self) -> None:
        self.is_over = True


@pytest.fixture
def timers() -> HandTimers:
    return HandTimers()


@pytest.fixture
def serving(tmp_path) -> Callable[..., Any]:
    @asynccontextmanager
    async def serve(**options: Any) -> AsyncIterator[tuple[Server, Held]]:
        with api_services(tmp_path) as services:
            app = Held(application(services))
            server = Server(app, "127.0.0.1", 0, **options)
            running = asyncio.create_task(server.serve())
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not server.started:
                        assert not running.done(), running.exception()
                        await asyncio.sleep(0.01)
                yield server, app
            finally:
                app.release.set()
                server.force_exit = True
                server.drain()
                server.drain()
                await running
                app.state.is_draining = False

    return serve
