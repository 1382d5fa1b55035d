"""The running engine: its state and its figures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from api.auth.principal import require
from api.auth.scopes import Scope
from api.services import Use

router = APIRouter(tags=["engine"])


@router.get("/v1/engine", dependencies=[require(Scope.SYSTEM_READ)])
async def engine_status(services: Use) -> dict[str, Any]:
    """Books, strategies, counters of the running engine."""
    return await services.engine.ask("status")


@router.get("/metrics", dependencies=[require(Scope.SYSTEM_READ)], response_class=PlainTextResponse)
async def metrics(services: Use) -> str:
    """The engine's figures in Prometheus text form."""
    return str((await services.engine.ask("metrics"))["text"])
