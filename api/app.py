"""The application. Reads the books itself; everything about trading it asks the engine's process.

Errors are RFC 9457 problems; the status follows the error tree: 422 input, 403 refused, 503 unavailable, 504 unknown
outcome, 500 our bug.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from custody import Ledger
from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable
from runtime.control import ask_control

_STATUS = {InputError: 422, Refused: 403, VenueUnavailable: 503, OutcomeUnknown: 504, InvariantError: 500}
_BODY_BYTES_MAX = 64 * 1024


class Kill(BaseModel):
    """Why everything is to stop."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="operator", min_length=1, max_length=200)


def create_app(*, control: Path, ledger: Ledger | None) -> FastAPI:
    """Build the application.

    Args:
        control: The engine's control socket.
        ledger: The books, or None where the installation has none yet.
    """
    app = FastAPI(title="Capstan", version="1", docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def bound_body(request: Request, call_next: Any) -> Any:
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _BODY_BYTES_MAX:
            return _problem(413, "body_too_large", f"at most {_BODY_BYTES_MAX} bytes")
        return await call_next(request)

    @app.exception_handler(PlatformError)
    async def on_platform_error(_request: Request, exc: PlatformError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), 502)
        code = exc.rule if isinstance(exc, Refused) else type(exc).__name__
        return _problem(status, code, str(exc), hint=exc.hint)

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(_request: Request, exc: RequestValidationError) -> JSONResponse:
        detail = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        return _problem(422, "InputError", detail)

    @app.get("/v1/health")
    async def health() -> dict[str, str]:
        """Whether this process and the engine answer."""
        try:
            engine = await ask_control(control, {"command": "status"}, timeout_s=2)
        except PlatformError as exc:
            return {"api": "ok", "engine": type(exc).__name__}
        return {"api": "ok", "engine": str(engine["state"])}

    @app.get("/v1/engine")
    async def engine_status() -> dict[str, Any]:
        """Books, strategies, counters of the running engine."""
        return await ask_control(control, {"command": "status"})

    @app.post("/v1/kill")
    async def kill(body: Kill) -> dict[str, Any]:
        """Cancel every open order and stop all strategies; answers when the venues have confirmed."""
        return await ask_control(control, {"command": "kill", "reason": body.reason}, timeout_s=30)

    @app.get("/v1/ledger/balances")
    async def balances(prefix: str = "") -> dict[str, dict[str, str]]:
        """Balances by account and asset, raw integers as text."""
        if ledger is None:
            raise VenueUnavailable("this installation has no books yet")
        found = await asyncio.to_thread(ledger.balances, prefix)
        return {account: {asset: str(raw) for asset, raw in assets.items()} for account, assets in found.items()}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """The engine's figures in Prometheus text form."""
        return str((await ask_control(control, {"command": "metrics"}))["text"])

    return app


def _problem(status: int, code: str, detail: str, *, hint: str = "") -> JSONResponse:
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code}
    if hint:
        body["hint"] = hint
    return JSONResponse(body, status, media_type="application/problem+json")
