"""What every HTTP front of ours answers when something is wrong, and how much it reads.

Errors are RFC 9457 problems of `application/problem+json`: `type` (a URN that never changes), `code` (its last part),
`title`, `status`, `detail`, and where they apply `hint`, `errors` (JSON pointers into the request with what is wrong
there) and `request_id`. The status follows the error tree: 422 input, 403 refused, 409 rejected by a venue, 503
unavailable, 504 unknown outcome, 500 our bug.

What a request was refused with is noted in its scope's state under `REFUSAL`, for whoever writes the log.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.core.errors import ApiError
from domain import InputError, InvariantError, OrderRejected, OutcomeUnknown, PlatformError, Refused, VenueUnavailable

log = structlog.get_logger(__name__)

_KINDS: tuple[tuple[type[PlatformError], int, str], ...] = (
    (InputError, 422, "invalid_request"),
    (Refused, 403, "refused"),
    (VenueUnavailable, 503, "unavailable"),
    (OutcomeUnknown, 504, "outcome_unknown"),
    (OrderRejected, 409, "order_rejected"),
    (InvariantError, 500, "internal_error"),
)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
BODY_BYTES_MAX = 64 * 1024
BODY_S_MAX = 15.0
"""A body that takes longer than this to arrive is not waited for."""
_DIGITS = re.compile(r"[0-9]{1,12}")
REFUSAL = "refusal"


def answer_problems(app: FastAPI) -> None:
    """Bound the bodies that an application reads, and turn errors into problems."""
    app.add_middleware(_BoundedBody)

    @app.exception_handler(PlatformError)
    async def on_platform_error(request: Request, exc: PlatformError) -> JSONResponse:
        if isinstance(exc, ApiError):
            answer = problem(request.scope, exc.status, exc.code, str(exc), hint=exc.hint, headers=exc.headers)
            note_refusal(request.scope, exc.code, claimed=exc.claimed)
            return answer
        status, code = next(((status, code) for kind, status, code in _KINDS if isinstance(exc, kind)), (502, "venue"))
        if isinstance(exc, InvariantError):
            log.error("api.failed", kind="InvariantError", error=str(exc))
        more: dict[str, Any] = {"rule": exc.rule} if isinstance(exc, Refused) else {}
        if isinstance(exc, OutcomeUnknown) and exc.request_id:
            more["ask"] = exc.request_id
        return problem(request.scope, status, code, str(exc), hint=exc.hint, **more)

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(request: Request, exc: RequestValidationError) -> JSONResponse:
        errors = [{"pointer": _pointer(error["loc"]), "detail": str(error["msg"])} for error in exc.errors()]
        detail = "; ".join(f"{error['pointer']}: {error['detail']}" for error in errors)
        return problem(request.scope, 422, "invalid_request", detail[:2_000], errors=errors[:50])

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, exc: HTTPException) -> JSONResponse:
        return problem(request.scope, exc.status_code, _phrase(exc.status_code), str(exc.detail), headers=exc.headers)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, exc: Exception) -> JSONResponse:
        log.error("api.failed", kind=type(exc).__name__, error=str(exc))
        return problem(
            request.scope,
            500,
            "internal_error",
            "internal inconsistency; the log has the details under this request id",
        )


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Make a problem; `more` are further members of it."""
    phrase = _PHRASES.get(status, code)
    body = {"type": f"urn:capstan:problem:{code}", "title": phrase, "status": status, "detail": detail, "code": code}
    if hint:
        body["hint"] = hint
    note_refusal(scope, code, rule=more.get("rule", ""))
    if request_id := scope["state"].get("request_id"):
        body["request_id"] = request_id
    return JSONResponse({**body, **more}, status, media_type="application/problem+json", headers=dict(headers or {}))


def note_refusal(scope: Scope, code: str, *, rule: str = "", claimed: str = "") -> None:
    """Write into a request's state what it is refused with, for its line in the log.

    `claimed` is whom the caller has named, see `ApiError`.
    """
    scope.setdefault("state", {})[REFUSAL] = {"code": code, "rule": rule, "claimed": claimed}


class _BoundedBody:
    """Refuses a body beyond the bound: by its announced length, by counting one that comes in chunks, or by time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        announced = Headers(scope=scope).get("content-length", "0")
        is_too_large = not _DIGITS.fullmatch(announced) or int(announced) > BODY_BYTES_MAX
        try:
            async with asyncio.timeout(BODY_S_MAX):
                while more and not is_too_large:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    is_too_large = len(body) > BODY_BYTES_MAX
        except TimeoutError:
            await problem(scope, 408, "request_timeout", f"the body did not arrive within {BODY_S_MAX:g} s")(
                scope, receive, send
            )
            return
        if is_too_large:
            await problem(scope, 413, "body_too_large", f"at most {BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


def _pointer(location: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) whose first part says where: body, query, path or header."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _phrase(status: int) -> str:
    return _PHRASES.get(status, f"http_{status}").lower().replace(" ", "_").replace("-", "_")
