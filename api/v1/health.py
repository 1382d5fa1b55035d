"""Whether the parts answer: for load balancers, orchestrators and people."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth.principal import public
from api.services import Use
from domain import PlatformError

router = APIRouter(tags=["health"])


@router.get("/v1/health", dependencies=[public()])
async def health(services: Use) -> dict[str, str]:
    """Whether this process and the engine answer."""
    try:
        engine = await services.engine.ask("status", timeout_s=2)
    except PlatformError as exc:
        return {"api": "ok", "engine": type(exc).__name__}
    return {"api": "ok", "engine": str(engine["state"])}
