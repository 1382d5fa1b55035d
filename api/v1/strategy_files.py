"""Strategies made over HTTP: which kinds there are, a new one, stopping one, and what each ran with."""

from __future__ import annotations

import inspect
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.config import JsonDict
from sqlmodel import Session

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.portfolios.directory import claim
from api.services import Use
from api.strategies.files import read_yaml, settings_of
from api.strategies.tables import StrategyVersionRow
from api.strategies.versions import read_versions
from api.v1.strategies import StrategyId
from engine.strategies.catalog import ENTRIES, Entry

router = APIRouter(prefix="/v1/strategies", tags=["strategies"])

Reader = Annotated[Principal, require(Scope.STRATEGIES_READ)]

_YAML: Final = "kind: pure-market-making\nid: quotes\ninstrument: binance:ETHUSDC\nqty: '0.05'\ninventory_max: '0.5'\n"
_EXAMPLE: Final[JsonDict] = {"yaml": _YAML, "reason": "quote ETH"}


class Kind(BaseModel):
    """One kind of strategy."""

    kind: str
    about: str
    is_driven: bool = Field(description="It trades on orders from outside alone.")
    fixed: list[str] = Field(description="Keys that cannot change while it runs, besides `kind`, `id` and names.")
    json_schema: dict[str, JsonValue] = Field(description="Of its settings.")


class Kinds(BaseModel):
    """All that ship."""

    data: list[Kind]


class NewStrategy(BaseModel):
    """A strategy in YAML, or as a table."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    yaml: str | None = Field(default=None, min_length=1, max_length=32_768)
    settings: dict[str, JsonValue] | None = Field(default=None, min_length=1, max_length=200)
    portfolio: str | None = Field(
        default=None, pattern=r"^pf_[0-9a-f]{16}$", description="Whose it is; without, the one that has the rest."
    )
    reason: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _one(self) -> NewStrategy:
        if (self.yaml is None) == (self.settings is None):
            raise ValueError("either yaml or settings")
        return self


class MadeStrategy(BaseModel):
    """A strategy that was made: it runs, and is there in later runs."""

    id: str
    kind: str
    portfolio: str
    instruments: list[str]
    created_at: datetime


class Stop(BaseModel):
    """How far, and why."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"flatten": True, "reason": "moved"}]})

    flatten: bool = Field(default=False, description="Close its positions, too.")
    reason: str = Field(default="operator", min_length=1, max_length=200)


class Stopped(BaseModel):
    """A strategy that was stopped."""

    strategy: str
    stage: str = Field(description="`cancel`, or `flatten` once its orders have ended.")
    in_later_runs: bool = Field(description="Whether a new run will have it: those of the settings file it will.")


class Version(BaseModel):
    """Parameters that a strategy ran with from some instant on."""

    version: int
    created_at: datetime
    author: str
    source: str = Field(description="`operator`, or `file`: the settings said so at a start.")
    reason: str
    changed: dict[str, list[JsonValue]] = Field(description="By key: from, to. Of the first, none.")
    parameters: dict[str, JsonValue]


@router.get("/kinds")
async def list_kinds(_services: Use, _who: Reader) -> Kinds:
    """Every kind of strategy with the JSON schema of its settings."""
    return Kinds(data=_kinds())


@router.post("", status_code=201, response_model=MadeStrategy)
async def create_strategy(
    request: Request,
    services: Use,
    who: Annotated[Principal, require(Scope.STRATEGIES_WRITE)],
    body: NewStrategy,
    key: IdempotencyKeyText,
) -> Response:
    """Make a strategy that runs from the next event on: checked whole, journaled, audited, there in later runs.

    All strategies share the run's capital (those without a share of their own in equal parts), so this is for the
    house, which may put it into anybody's portfolio. Sent again under its key nothing more is made.
    """
    await services.directory.check_house(who)
    table = read_yaml(body.yaml) if body.yaml is not None else dict(body.settings or {})
    settings = settings_of(table)
    owner = services.directory.rest if body.portfolio is None else services.directory.any(body.portfolio)
    assert owner is not None  # There is a house.
    asked: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "by": who.actor, "reason": body.reason}
    await services.engine.ask("create_strategy", dry_run=True, **asked)
    now = services.clock.now_ns()

    def work(session: Session) -> MadeStrategy:
        # Whose it is stands before it trades.
        claim(session, settings.id, owner.id)
        return MadeStrategy(
            id=settings.id, kind=table["kind"], portfolio=owner.id, instruments=list(settings.instrument_names()),
            created_at=instant(now),
        )  # fmt: skip

    once = await services.effects.once(request, who.organisation, key, work)
    await services.directory.refresh(now=True)
    await services.engine.ask("create_strategy", timeout_s=15, **asked)
    return once.response()


@router.post("/{strategy}/stop")
async def stop_strategy(
    services: Use, who: Annotated[Principal, require(Scope.STRATEGIES_RUN)], strategy: StrategyId, body: Stop
) -> Stopped:
    """End a strategy: its orders are cancelled, with `flatten` its positions closed; it places nothing more.

    It stays stopped through restarts until it is started. One that was made over the API is not in a new run then. Safe
    to send again.
    """
    await services.directory.refresh()
    services.directory.check_strategy(who, strategy)
    stage = "flatten" if body.flatten else "cancel"
    await services.engine.ask("stage", stage=stage, strategy=strategy, reason=body.reason, timeout_s=30)
    retired = await services.engine.ask("retire", strategy=strategy, is_stopped=True)
    return Stopped(strategy=strategy, stage=stage, in_later_runs=retired["in_later_runs"])


@router.get("/{strategy}/versions", response_model=Page[Version])
async def list_versions(
    services: Use, who: Reader, strategy: StrategyId, limit: Limit = 100, cursor: CursorText = None
) -> Page[Version]:
    """What a strategy of yours ran with, the newest first: who gave it, why, and what changed.

    Of one that no engine has started since versions are kept, there are none.
    """
    await services.directory.refresh()
    services.directory.check_strategy(who, strategy)
    scope = f"versions/{who.organisation}/{strategy}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Version]:
        return [_version(row) for row in read_versions(session, strategy, before=before, limit=limit + 1)]

    rows = await services.database.read(read)
    page, following = services.cursors.page(scope, rows, limit, lambda version: version.version)
    return Page[Version](data=page, next=following)


def _version(row: StrategyVersionRow) -> Version:
    return Version(
        version=row.version, created_at=instant(row.created_ns), author=row.author, source=row.source,
        reason=row.reason, changed=msgspec.json.decode(row.changed), parameters=msgspec.json.decode(row.parameters),
    )  # fmt: skip


@cache
def _kinds() -> list[Kind]:
    """Drawn once: schemas do not change while a process runs."""
    return [_kind(entry) for entry in sorted(ENTRIES, key=lambda entry: entry.kind)]


def _kind(entry: Entry) -> Kind:
    told: Any = inspect.getmodule(entry.strategy)
    about = inspect.cleandoc(told.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return Kind(
        kind=entry.kind, about=about, is_driven=entry.strategy.is_driven, fixed=list(entry.settings.fixed),
        json_schema=entry.settings.model_json_schema(),
    )  # fmt: skip
