"""Strategies of the running engine: what they are, what they run with, and pausing them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import Conflict, NotFound
from api.kill import KillSwitch
from api.services import Services, Use

router = APIRouter(prefix="/v1/strategies", tags=["strategies"])

StrategyId = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,16}$", examples=["mm"])]
Reader = Annotated[Principal, require(Scope.STRATEGIES_READ)]
Runner = Annotated[Principal, require(Scope.STRATEGIES_RUN)]


class Strategy(BaseModel):
    """One strategy of the run."""

    id: str
    kind: str | None = Field(description="Of the catalog; null for one written in Python.")
    portfolio: str
    instruments: list[str]
    venues: list[str]
    stage: str = Field(description="`running`, or how far it or the whole run is stopped (docs/risk.md).")
    stopped_by: str | None = Field(description="What stopped it for itself: `operator`, or the limit by name.")
    parameters: dict[str, JsonValue] | None = Field(description="What it runs with now.")


class Strategies(BaseModel):
    """Those of your portfolios."""

    data: list[Strategy]


class Change(BaseModel):
    """New parameters, laid over those of now."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"changes": {"spread_bps": "12"}, "reason": "calmer market"}]}
    )

    changes: dict[str, JsonValue] = Field(min_length=1, max_length=100)
    reason: str = Field(default="", max_length=200)
    dry_run: bool = Field(default=False, description="Check, and change nothing.")


class Changed(BaseModel):
    """What a change came to."""

    strategy: str
    changed: dict[str, list[JsonValue]] = Field(description="By key: from, to.")
    applied: bool


class Why(BaseModel):
    """Why it is paused or started."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "lunch"}]})

    reason: str = Field(default="operator", min_length=1, max_length=200)


@router.get("")
async def list_strategies(services: Use, who: Reader) -> Strategies:
    """Strategies of your portfolios."""
    await services.directory.refresh()
    found = (await services.engine.ask("strategies"))["strategies"]
    return Strategies(data=[_told(services, one) for one in found if services.directory.sees_strategy(who, one["id"])])


@router.get("/{strategy}")
async def get_strategy(services: Use, who: Reader, strategy: StrategyId) -> Strategy:
    """One strategy with its parameters."""
    return _told(services, await _found(services, who, strategy))


@router.patch("/{strategy}/parameters")
async def change_parameters(
    services: Use,
    who: Annotated[Principal, require(Scope.STRATEGIES_WRITE)],
    strategy: StrategyId,
    body: Change,
) -> Changed:
    """Change parameters of a strategy that runs, between two events; journaled, audited, kept through restarts.

    Keys that are fixed, unknown or out of range are refused by name, and nothing changes.
    """
    await _found(services, who, strategy)
    answer = await services.engine.ask(
        "reload", strategy=strategy, changes=body.changes, dry_run=body.dry_run, by=who.actor, reason=body.reason
    )
    return Changed.model_validate(answer)


@router.post("/{strategy}/pause")
async def pause_strategy(services: Use, who: Runner, strategy: StrategyId, body: Why) -> Strategy:
    """Cancel its orders and keep it from placing others, until it is started. Safe to send again."""
    await _found(services, who, strategy)
    await services.engine.ask("stage", stage="cancel", strategy=strategy, reason=body.reason, timeout_s=30)
    return _told(services, await _found(services, who, strategy))


@router.post("/{strategy}/start")
async def start_strategy(services: Use, who: Runner, strategy: StrategyId, body: Why) -> Strategy:
    """Let a paused strategy run. What the kill switch holds is not started by this: two people release it."""
    found = await _found(services, who, strategy)
    if (rule := found["stopped_by"]) not in (None, "operator"):
        raise Conflict(
            f"a limit stopped it: {rule}",
            hint="that its losses are accepted is for two people: POST /v1/kills for it, and two releases",
        )
    switch = KillSwitch(services.database, services.engine, services.directory, services.clock.now_ns)
    await switch.start(strategy, body.reason)
    await services.engine.ask("retire", strategy=strategy, is_stopped=False)
    return _told(services, await _found(services, who, strategy))


async def _found(services: Services, who: Principal, strategy: str) -> dict[str, Any]:
    await services.directory.refresh()
    services.directory.check_strategy(who, strategy)
    for one in (await services.engine.ask("strategies"))["strategies"]:
        if one["id"] == strategy:
            return dict(one)
    raise NotFound(f"no strategy {strategy!r} in this run")


def _told(services: Services, one: dict[str, Any]) -> Strategy:
    owner = services.directory.of_strategy(one["id"])
    return Strategy.model_validate(one | {"portfolio": owner.id if owner is not None else ""})
