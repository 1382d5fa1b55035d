"""The application: layers, routes, documentation. What it works with is put together by `cli/api.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api.alerts.feed import AlertFeed
from api.auth.principal import Gate, check_routes, describe_callers
from api.auth.rates import RateHeaders
from api.backtests.watch import Watch
from api.core.document import finished
from api.core.requests import VERSION, RequestFrame
from api.core.responses import PROBLEMS
from api.custody.watch import ApprovalWatch
from api.problems import answer_problems
from api.services import Services
from api.streams.looking import look_again
from api.v1 import ROUTERS


@asynccontextmanager
async def _live(app: FastAPI) -> AsyncIterator[None]:
    """Follow the engine, backtests, alerts and approvals for as long as the application serves."""
    services: Services = app.state.services
    watch = Watch(services.database, services.hub, services.clock.now_ns)
    approvals = ApprovalWatch(services.counter, services.directory, services.hub, services.clock)
    alerts = AlertFeed(services.database, services.hub)
    looks = {"backtests": watch.look, "approvals": approvals.look, "alerts": alerts.refresh}
    parts = [asyncio.create_task(services.mirror.run(), name="api.mirror")]
    parts += [asyncio.create_task(look_again(what, look), name=f"api.{what}") for what, look in looks.items()]
    try:
        yield
    finally:
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)


def create_app(services: Services, *, gate: Gate | None = None) -> FastAPI:
    """Build the application over its services; `gate` is another one than theirs, for tests of routes.

    Raises:
        InvariantError: A route does not say whom it admits.
    """
    app = _bare_app()
    app.state.services = services
    app.state.gate = gate or services.auth.gate
    return app


def document() -> dict[str, Any]:
    """Give the OpenAPI document of this release, without an installation."""
    return _bare_app().openapi()


def _bare_app() -> FastAPI:
    """Everything about the application but what it works with."""
    app = FastAPI(
        title="Capstan",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=_live,
        responses=PROBLEMS,
        # FastAPI's own would send paths, queries and the texts of exceptions; ours is `runtime.tracing`.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        # Generated clients have a method of this name.
        generate_unique_id_function=lambda route: route.name,
    )
    answer_problems(app)
    app.add_middleware(RateHeaders)
    # The outermost layer: whatever answers, the frame is around it.
    app.add_middleware(RequestFrame)
    for router in ROUTERS:
        app.include_router(router)
    check_routes(app)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        return describe_callers(app, finished(plain()))

    app.openapi = openapi  # type: ignore[method-assign]
    return app
