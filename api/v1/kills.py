"""The kill switch over HTTP. Pressing never waits for anybody; releasing takes two people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.times import instant, instant_or_none
from api.kill import KillSwitch, Mode, Press, Target, TargetKind
from api.services import Services, Use

router = APIRouter(prefix="/v1/kills", tags=["kill switch"])

KillId = Annotated[str, Path(pattern=r"^kill_[0-9a-f]{16}$")]
_EXAMPLE: JsonDict = {"target": "strategy", "name": "mm", "mode": "cancel", "reason": "quotes look wrong"}


class KillRequest(BaseModel):
    """What is to stop, how far, and why. With nothing said: everything of yours, every order cancelled."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    target: TargetKind = TargetKind.ALL
    name: str = Field(default="", max_length=80, description="Of the strategy, venue or portfolio.")
    mode: Mode = Mode.CANCEL
    reason: str = Field(default="operator", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _named(self) -> KillRequest:
        if (self.target is TargetKind.ALL) == bool(self.name):
            raise ValueError("a strategy, venue or portfolio is named; all is not")
        return self


class Kill(BaseModel):
    """A press, and what became of it."""

    id: str = Field(examples=["kill_0123456789abcdef"])
    target: TargetKind
    name: str
    mode: Mode
    reason: str
    actor: str
    strategies: list[str] = Field(description="What was stopped; of the whole run none is named.")
    is_whole: bool = Field(description="The whole run.")
    created_at: datetime
    released_at: datetime | None
    released_by: list[str] = Field(description="People who said that it may end; two are needed.")
    frozen: bool = Field(description="Nothing leaves custody; two people lift that at /v1/freezes.")
    engine: str = Field(description="`done`, or why the engine is not known to have stopped: look at the venue.")
    recorded: bool = Field(description="False where the database did not answer; it stopped all the same.")


class Kills(BaseModel):
    """The newest first."""

    data: list[Kill]


class Release(BaseModel):
    """Why it may end."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "feed mended"}]})

    reason: str = Field(min_length=1, max_length=200)


@router.post("", status_code=201)
async def press_kill(services: Use, who: Annotated[Principal, require(Scope.KILL_PRESS)], body: KillRequest) -> Kill:
    """Stop something, now. Safe to send again; `engine` and `recorded` say what is certain."""
    press = await _switch(services).press(who, Target(body.target, body.name), body.mode, body.reason)
    return _told(press)


@router.get("")
async def list_kills(services: Use, who: Annotated[Principal, require(Scope.RISK_READ)]) -> Kills:
    """Your organisation's presses."""
    return Kills(data=[_told(press) for press in await _switch(services).presses(who)])


@router.post("/{kill}/releases", status_code=201)
async def release_kill(
    services: Use, who: Annotated[Principal, require(Scope.KILL_RELEASE)], kill: KillId, body: Release
) -> Kill:
    """Say that a press may end. The second person's word ends it; what another press holds stays stopped."""
    return _told(await _switch(services).release(who, kill, body.reason))


def _switch(services: Services) -> KillSwitch:
    return KillSwitch(services.database, services.engine, services.directory, services.clock.now_ns)


def _told(press: Press) -> Kill:
    return Kill(
        id=press.id, target=press.target.kind, name=press.target.name, mode=press.mode, reason=press.reason,
        actor=press.actor, strategies=list(press.strategies), is_whole=press.is_whole,
        created_at=instant(press.created_ns), released_at=instant_or_none(press.released_ns),
        released_by=list(press.released_by), frozen=press.frozen,
        engine=press.engine, recorded=press.recorded,
    )  # fmt: skip
