"""What every HTTP front of ours answers when something is wrong, and how much it reads.

Errors are RFC 9457 problems; the status follows the error tree: 422 input, 403 refused, 503 unavailable, 504 unknown
outcome, 500 our bug.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable

log = structlog.get_logger(__name__)

_STATUS = {InputError: 422, Refused: 403, VenueUnavailable: 503, OutcomeUnknown: 504, InvariantError: 500}
_BODY_BYTES_MAX = 64 * 1024
_DIGITS = re.compile(r"[0-9]{1,12}")


def answer_problems(app: FastAPI) -> None:
    """Bound the bodies that an application reads, and turn errors into problems."""
    app.add_middleware(_BoundedBody)

    @app.exception_handler(PlatformError)
    async def on_platform_error(_request: Request, exc: PlatformError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 502)
        code = exc.rule if isinstance(exc, Refused) else type(exc).__name__
        return _problem(status, code, str(exc), hint=exc.hint)

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(_request: Request, exc: RequestValidationError) -> JSONResponse:
        detail = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        return _problem(422, "InputError", detail)

    @app.exception_handler(HTTPException)
    async def on_http_error(_request: Request, exc: HTTPException) -> JSONResponse:
        return _problem(exc.status_code, _phrase(exc.status_code), str(exc.detail), headers=exc.headers)

    @app.exception_handler(Exception)
    async def on_bug(_request: Request, exc: Exception) -> JSONResponse:
        log.error("api.failed", kind=type(exc).__name__, error=str(exc))
        return _problem(500, "InvariantError", "internal inconsistency; the log has the details")


class _BoundedBody:
    """Refuses a body beyond the bound: by its announced length, or by counting one that comes in chunks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        announced = Headers(scope=scope).get("content-length", "0")
        is_too_large = not _DIGITS.fullmatch(announced) or int(announced) > _BODY_BYTES_MAX
        while more and not is_too_large:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            is_too_large = len(body) > _BODY_BYTES_MAX
        if is_too_large:
            await _problem(413, "body_too_large", f"at most {_BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


def _problem(
    status: int, code: str, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code}
    if hint:
        body["hint"] = hint
    return JSONResponse(body, status, media_type="application/problem+json", headers=dict(headers or {}))
