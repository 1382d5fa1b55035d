"""The running engine: its state and its figures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.services import Use

router = APIRouter(tags=["engine"])

Reader = Annotated[Principal, require(Scope.SYSTEM_READ)]


@router.get("/v1/engine")
async def engine_status(services: Use, who: Reader) -> dict[str, Any]:
    """Books, strategies, counters of the running engine, of all tenants together; for the house."""
    await services.directory.check_house(who)
    return await services.engine.ask("status")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: Use, who: Reader) -> str:
    """The engine's figures in Prometheus text form; for the house."""
    await services.directory.check_house(who)
    return str((await services.engine.ask("metrics"))["text"])
