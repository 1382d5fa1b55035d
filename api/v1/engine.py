"""The running engine: its state and its figures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.health.figures import all_figures
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
    """Figures of the API, the engine and the books in Prometheus text form; for the house.

    `capstan_engine_up` and `capstan_books_up` are 0 where one does not answer; the rest is there all the same.
    """
    await services.directory.check_house(who)
    return await all_figures(services)
