"""A server that writes down every request and answers what it was told to, or next to nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

Answer = Callable[["Request"], Any]


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `path` is without the venue's prefix."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    """JSON or a form, read; text otherwise."""
    raw: str
    """All of it as text, in which anything can be looked for."""

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Recorder:
    """The requests of each venue, by the first part of the path."""

    requests: dict[str, list[Request]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    base_url: str = ""

    def url(self, venue: str) -> str:
        return f"{self.base_url}/{venue}"

    def of(self, venue: str) -> list[Request]:
        return self.requests.setdefault(venue, [])

    async def take(self, http: web.Request) -> web.StreamResponse:
        _, venue, *rest = http.raw_path.partition("?")[0].split("/")
        if http.headers.get("Upgrade", "").lower() == "websocket":
            return await self._take_socket(http, venue, "/" + "/".join(rest))
        text = (await http.read()).decode("utf-8", "replace")
        request = Request(
            method=http.method,
            path="/" + "/".join(rest),
            query=dict(parse_qsl(http.raw_path.partition("?")[2], keep_blank_values=True)),
            headers=dict(http.headers),
            body=_read(text),
            raw=f"{http.method} {http.raw_path}\n{dict(http.headers)}\n{text}",
        )
        self.of(venue).append(request)
        answer = self.answers.get(venue)
        return web.json_response(answer(request) if answer is not None else {})

    async def _take_socket(self, http: web.Request, venue: str, path: str) -> web.StreamResponse:
        """Take the messages of a WebSocket, and answer none."""
        socket = web.WebSocketResponse()
        await socket.prepare(http)
        async for message in socket:
            if isinstance(message.data, str):
                raw = f"WS {path}\n{message.data}"
                self.of(venue).append(Request("WS", path, {}, dict(http.headers), _read(message.data), raw))
        return socket


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return dict(parse_qsl(text, keep_blank_values=True)) or text


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """Serve on a free port of this machine."""
    recorder = Recorder()
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", recorder.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    recorder.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield recorder
    finally:
        await runner.cleanup()
