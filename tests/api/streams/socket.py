"""A WebSocket in memory: what the client sends and is sent, in order, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.websockets import WebSocket


class Socket:
    """The client's end."""

    def __init__(self, query: str = "") -> None:
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_client: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.takes = asyncio.Event()
        """While it is not set, the client takes nothing."""
        self.takes.set()
        scope = {
            "type": "websocket", "path": "/v1/stream", "query_string": query.encode(), "headers": [], "state": {},
            "client": ("127.0.0.1", 1), "subprotocols": [],
        }  # fmt: skip
        self._to_server.put_nowait({"type": "websocket.connect"})
        self.server = WebSocket(scope, self._to_server.get, self._send)
        self.code: int | None = None

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self.takes.wait()
        self._to_client.put_nowait(dict(message))

    def say(self, **message: Any) -> None:
        self.say_text(json.dumps(message))

    def say_text(self, text: str) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def hear(self) -> dict[str, Any]:
        """The next message; a close is `{"t": "closed", "code": …}`."""
        while True:
            async with asyncio.timeout(60):
                message = await self._to_client.get()
            if message["type"] == "websocket.send":
                return dict(json.loads(message["text"]))
            if message["type"] == "websocket.close":
                return {"t": "closed", "code": message["code"], "reason": message["reason"]}

    async def hear_of(self, kind: str) -> dict[str, Any]:
        """The next message of a kind, others left out."""
        while (message := await self.hear())["t"] != kind:
            if message["t"] == "closed":
                raise AssertionError(message)
        return message
