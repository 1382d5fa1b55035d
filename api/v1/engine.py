"""The running engine: its state, its figures, and the switch that stops it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth.principal import require
from api.auth.scopes import Scope
from api.services import Use

router = APIRouter(tags=["engine"])


class Kill(BaseModel):
    """Why everything is to stop."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="operator", min_length=1, max_length=200)


@router.get("/v1/engine", dependencies=[require(Scope.SYSTEM_READ)])
async def engine_status(services: Use) -> dict[str, Any]:
    """Books, strategies, counters of the running engine."""
    return await services.engine.ask("status")


@router.post("/v1/kill", dependencies=[require(Scope.KILL_PRESS)])
async def kill(services: Use, body: Kill) -> dict[str, Any]:
    """Cancel every open order and stop all strategies; answers when the venues have confirmed."""
    return await services.engine.ask("kill", reason=body.reason, timeout_s=30)


@router.get("/metrics", dependencies=[require(Scope.SYSTEM_READ)], response_class=PlainTextResponse)
async def metrics(services: Use) -> str:
    """The engine's figures in Prometheus text form."""
    return str((await services.engine.ask("metrics"))["text"])
