"""The application. Reads the books itself; everything about trading it asks the engine's process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from api.problems import answer_problems
from custody import Ledger
from domain import PlatformError, VenueUnavailable
from runtime.control import ask_control


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

    answer_problems(app)

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
