"""The application: layers, routes, documentation. What it works with is put together by `cli/api.py`."""

from __future__ import annotations

from fastapi import FastAPI

from api.core.requests import VERSION, RequestFrame
from api.problems import answer_problems
from api.services import Services
from api.v1 import ROUTERS


def create_app(services: Services) -> FastAPI:
    """Build the application over its services."""
    app = FastAPI(title="Capstan", version=VERSION, docs_url=None, redoc_url=None)
    app.state.services = services
    answer_problems(app)
    # The outermost layer: whatever answers, the frame is around it.
    app.add_middleware(RequestFrame)
    for router in ROUTERS:
        app.include_router(router)
    return app
