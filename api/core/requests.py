"""What surrounds every request: an id that its answer, its log lines and its problems carry, the API's version, a line
in the log and the figures of its route.

What is logged of a request is its method, its route's template and how it ended, never its path, query, headers or
body. Of one that was refused its problem's code too, and of one that was refused before it was known who asks, where it
came from and whom it named. A plain ASGI layer: it costs some microseconds, and streams pass untouched.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.core import figures
from api.core.errors import BadRequest
from api.problems import REFUSAL, problem
from runtime import tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = structlog.get_logger(__name__)

VERSION: Final = "2026-11-26"
"""The newest version of the API; the paths' `/v1` changes only when nothing old can be kept."""
VERSIONS: Final = frozenset({VERSION})
ABANDONED: Final = 499
"""In figures and logs: its caller went away before there was an answer."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


_TOLD_TO_THE_LAST: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def is_draining(scope: Scope) -> bool:
    """Whether the process that answers is about to end (`api.server`)."""
    app = scope.get("app")
    return app is not None and bool(getattr(app.state, "is_draining", False))


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

        began, status = time.perf_counter(), 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["x-request-id"] = request_id
                answer["api-version"] = VERSION
                answer.setdefault("cache-control", "no-store")
                answer["x-content-type-options"] = "nosniff"
            await send(message)

        figures.IN_FLIGHT.inc()
        try:
            with tracing.span("api.request", parent=headers.get("traceparent"), request_id=request_id) as span:
                await self._answer(scope, receive, send_framed, headers.get("api-version", VERSION))
                if span is not None:
                    _name(span, scope, status)
        except Exception:
            status = 500  # What is around us answers so.
            raise
        finally:
            figures.IN_FLIGHT.dec()
            _tell(scope, status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, version: str) -> None:
        if is_draining(scope) and scope["path"] not in _TOLD_TO_THE_LAST:
            gone = problem(
                scope, 503, "draining", "this process is about to end", hint="ask again: another answers",
                headers={"retry-after": "1", "connection": "close"},
            )  # fmt: skip
            await gone(scope, receive, send)
            return
        if version not in VERSIONS:
            known = ", ".join(sorted(VERSIONS))
            refusal = problem(
                scope, 400, "unsupported_version", f"API-Version {version[:40]!r}", hint=f"known: {known}"
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _name(span: Span, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", figures.UNKNOWN)
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if (principal := scope["state"].get("principal")) is not None:
        span.set_attribute("organisation", principal.organisation)
        span.set_attribute("actor", principal.actor)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """Count a request that ended, and log it; one that nobody waited for has no status."""
    method, route = scope["method"], getattr(scope.get("route"), "path", figures.UNKNOWN)
    figures.count_request(method, route, status or ABANDONED, seconds)
    tell = log.warning if status >= 500 else log.info
    why = _refusal(scope) if status >= 400 and REFUSAL in scope["state"] else {}
    ms = round(seconds * 1000, 2)
    tell("api.request", method=method[:10], route=route, status=status or ABANDONED, ms=ms, **why)


def _refusal(scope: Scope) -> dict[str, str]:
    """What an operator wants to know of a request that was refused. Whom a caller names is not proved."""
    found: dict[str, str] = dict(scope["state"][REFUSAL])
    figures.REFUSALS.labels(found["code"]).inc()
    if "actor" in structlog.contextvars.get_contextvars():
        found["claimed"] = ""
    else:
        gate, connection = scope["app"].state.services.auth.gate, HTTPConnection(scope)
        found["claimed"] = found["claimed"] or gate.claimed_by(connection)
        with suppress(BadRequest):  # A proxy wrote what is no address.
            found["address"] = str(gate.address_of(connection) or "")
    return {name: value for name, value in found.items() if value}
