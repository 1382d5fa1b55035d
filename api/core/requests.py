"""What surrounds every request: an id that its answer, its log lines and its problems carry, and the API's version.

A plain ASGI layer: it costs some microseconds, and streams pass untouched.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

VERSION: Final = "2026-11-26"
"""The newest version of the API; the paths' `/v1` changes only when nothing old can be kept."""
VERSIONS: Final = frozenset({VERSION})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestFrame:
    """Gives each request its id, checks `API-Version`, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["x-request-id"] = request_id
                answer["api-version"] = VERSION
                answer.setdefault("cache-control", "no-store")
                answer["x-content-type-options"] = "nosniff"
            await send(message)

        version = headers.get("api-version", VERSION)
        if version not in VERSIONS:
            known = ", ".join(sorted(VERSIONS))
            refusal = problem(
                scope, 400, "unsupported_version", f"API-Version {version[:40]!r}", hint=f"known: {known}"
            )
            await refusal(scope, receive, send_framed)
            return
        await self._app(scope, receive, send_framed)
