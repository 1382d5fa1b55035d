"""Whether the parts answer: for load balancers, orchestrators and people."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from api.auth.principal import Principal, public, require
from api.auth.scopes import Scope
from api.core.errors import NotFound
from api.core.requests import is_draining
from api.health.board import Finding, State
from api.services import Use
from domain import PlatformError

router = APIRouter(tags=["health"])

Reader = Annotated[Principal, require(Scope.SYSTEM_READ)]


class Alive(BaseModel):
    """This process runs."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether this process is to be sent requests, and which components do their work."""

    status: Literal["ready", "not_ready", "draining"] = Field(
        description="`draining`: it is about to end. `not_ready`: a component without which nothing can be answered."
    )
    components: dict[str, State] = Field(examples=[{"database": "ok", "engine": "ok", "worker": "down"}])


class Component(BaseModel):
    """A component, for who runs the installation."""

    name: str
    state: State
    detail: str = Field(description="How it is, or what is wrong.")
    is_required: bool = Field(description="Without it the API is not ready.")
    took_ms: float
    seen_ns: str


class Components(BaseModel):
    """All of them."""

    data: list[Component]


ASKED_A_MINUTE = 600
"""So often may one address have the engine asked how it is."""
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "Not ready, about to end, or the component is down"}
}


@router.get("/v1/health", dependencies=[public()])
async def health(services: Use, request: Request) -> dict[str, str]:
    """Whether this process and the engine answer."""
    # The engine is asked each time, for anybody: `/readyz` remembers what it heard a second ago.
    await services.auth.gate.spend_by_address(request, "health", ASKED_A_MINUTE)
    try:
        engine = await services.engine.ask("status", timeout_s=2)
    except PlatformError as exc:
        return {"api": "ok", "engine": type(exc).__name__}
    return {"api": "ok", "engine": str(engine["state"])}


@router.get("/healthz", dependencies=[public()])
async def alive() -> Alive:
    """That this process runs, whatever else does: one that does not answer this is to be started again."""
    return Alive()


@router.get("/readyz", dependencies=[public()], responses=NOT_READY)
async def ready(services: Use, request: Request, response: Response) -> Readiness:
    """Whether requests may be sent here: 200, else 503. What is down and holds nothing up is told all the same."""
    found = await services.health.look()
    if is_draining(request.scope):
        return _told(response, "draining", found)
    is_ready = all(one.state is State.OK for one in found if one.is_required)
    return _told(response, "ready" if is_ready else "not_ready", found)


@router.get("/readyz/{component}", dependencies=[public()], responses=NOT_READY)
async def ready_component(
    services: Use, response: Response, component: Annotated[str, Path(max_length=20, examples=["database"])]
) -> Readiness:
    """Whether one component does its work: 200, else 503."""
    found = [one for one in await services.health.look() if one.name == component]
    if not found:
        raise NotFound(f"no component {component[:20]!r}", hint=f"there are {', '.join(services.health.names)}")
    return _told(response, "ready" if found[0].state is State.OK else "not_ready", found)


@router.get("/v1/components")
async def components(services: Use, who: Reader) -> Components:
    """Every component with what is wrong with it; for the house."""
    await services.directory.check_house(who)
    return Components(
        data=[
            Component(
                name=one.name, state=one.state, detail=one.detail, is_required=one.is_required, took_ms=one.took_ms,
                seen_ns=str(one.seen_ns),
            )
            for one in await services.health.look()
        ]
    )  # fmt: skip


def _told(
    response: Response, status: Literal["ready", "not_ready", "draining"], found: tuple[Finding, ...] | list[Finding]
) -> Readiness:
    response.status_code = 200 if status == "ready" else 503
    return Readiness(status=status, components={one.name: one.state for one in found})
