"""Risk limits over HTTP: what holds, how much is used, and changing them. To tighten waits for nobody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, confirm_step_up, require
from api.auth.scopes import Scope
from api.core.amounts import PositiveText
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.risk.tables import LimitChangeRow
from api.services import Services, Use
from api.v1.portfolios import PortfolioId
from api.v1.strategies import StrategyId
from engine.feed import text

router = APIRouter(prefix="/v1/risk", tags=["risk"])

Reader = Annotated[Principal, require(Scope.RISK_READ)]
Writer = Annotated[Principal, require(Scope.RISK_WRITE)]
_EXAMPLE: Final[JsonDict] = {"changes": {"drawdown_max": "250", "open_orders_max": 10}, "reason": "thin market"}


Count = Annotated[int, Field(strict=True, ge=1, le=10**6)]


class RiskLimit(BaseModel):
    """One limit, and how much of it is used."""

    strategy: str | None = Field(description="Null: the run's.")
    name: str = Field(examples=["drawdown_max"])
    limit: str | None = Field(description="Null: there is none.")
    used: str | None = Field(description="Null where it bounds single orders, or something held has no price.")
    headroom: str | None
    unit: str = Field(description="`value` (of the unit of account), `orders` or `bps`.")
    stage: str | None = Field(description="Where it leads when a loss is more (docs/risk.md); null: it refuses orders.")
    is_own: bool = Field(description="The strategy has one for itself; otherwise as for all.")


class RiskLimits(BaseModel):
    """Of your strategies; for the house of the run and of all."""

    data: list[RiskLimit]


class LimitsChange(BaseModel):
    """Other limits, laid over those that hold. Null takes a limit away, where it may be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    changes: dict[str, PositiveText | Count | None] = Field(min_length=1, max_length=40)
    reason: str = Field(default="", max_length=200)
    dry_run: bool = Field(default=False, description="Check, and change nothing.")


class ChangedLimits(BaseModel):
    """What a change came to."""

    strategy: str | None
    changed: dict[str, list[str | int | None]] = Field(description="By limit: from, to.")
    loosened: list[str] = Field(description="Those of them that are looser now: they took a confirmation.")
    applied: bool
    recorded: bool = Field(description="False where the database did not answer: a tighter limit holds all the same.")


class ChangedPortfolio(BaseModel):
    """What a change of each of a portfolio's strategies came to."""

    data: list[ChangedLimits]


class PastChange(BaseModel):
    """A change of limits, as it was asked for."""

    id: int
    created_at: datetime
    strategy: str | None
    actor: str
    reason: str
    changed: dict[str, list[str | int | None]]


@router.get("/limits")
async def list_limits(services: Use, who: Reader) -> RiskLimits:
    """Every limit that holds, with what is used and what is left."""
    await services.directory.refresh()
    is_house = services.directory.is_house(who)
    found = (await services.engine.ask("risk_limits"))["limits"]
    mine = [one for one in found if is_house or _is_mine(services, who, one["strategy"])]
    return RiskLimits(data=[RiskLimit(**one, headroom=_headroom(one)) for one in mine])


@router.patch("/limits")
async def change_run_limits(request: Request, services: Use, who: Writer, body: LimitsChange) -> ChangedLimits:
    """Change limits of the whole run: for the house. What loosens one needs a confirmation, what tightens does not."""
    await services.directory.check_house(who)
    return await _change(request, services, who, body, "")


@router.patch("/limits/{strategy}")
async def change_strategy_limits(
    request: Request, services: Use, who: Writer, strategy: StrategyId, body: LimitsChange
) -> ChangedLimits:
    """Change limits that a strategy of yours has for itself, never beyond what the run allows; the house may any's.

    Tighter ones hold from the next event on: orders that rest stay, and a loss that is more already stops it at once.
    """
    await services.directory.refresh()
    if not services.directory.is_house(who):
        services.directory.check_strategy(who, strategy)
    known = {one["id"] for one in (await services.engine.ask("strategies"))["strategies"]}
    if strategy not in known:
        raise NotFound(f"no strategy {strategy!r} in this run")
    return await _change(request, services, who, body, strategy)


@router.patch("/portfolios/{portfolio}/limits")
async def change_portfolio_limits(
    request: Request, services: Use, who: Writer, portfolio: PortfolioId, body: LimitsChange
) -> ChangedPortfolio:
    """Change limits of every strategy of a portfolio, of each for itself."""
    await services.directory.refresh()
    house = services.directory.is_house(who)
    owner = services.directory.any(portfolio) if house else services.directory.seen(who, portfolio)
    known = [one["id"] for one in (await services.engine.ask("strategies"))["strategies"]]
    inside = [name for name in known if (found := services.directory.of_strategy(name)) and found.id == owner.id]
    if not inside:
        raise NotFound("no strategy of this portfolio runs")
    # All are checked before any is changed: the confirmation is of the whole request, and is asked for once.
    checked = [await _ask(services, who, body, name, dry_run=True) for name in inside]
    may_loosen = any(one["loosened"] for one in checked) and not body.dry_run
    if may_loosen:
        await confirm_step_up(request, who)
    told = [await _ask(services, who, body, name, dry_run=body.dry_run, may_loosen=may_loosen) for name in inside]
    return ChangedPortfolio(data=[_told(one) for one in told])


@router.get("/changes", response_model=Page[PastChange])
async def list_changes(services: Use, who: Reader, limit: Limit = 100, cursor: CursorText = None) -> Page[PastChange]:
    """Changes of your strategies' limits, the newest first; for the house of the run's and of all."""
    await services.directory.refresh()
    is_house = services.directory.is_house(who)
    visible = services.directory.visible(who)
    named = frozenset(name for each in visible for name in each.strategies)
    has_rest = any(each.has_rest for each in visible)
    scope = f"limit_changes/{who.organisation}/{sorted(named)}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[PastChange]:
        query = select(LimitChangeRow).order_by(col(LimitChangeRow.id).desc()).limit(limit + 1)
        if not is_house:
            mine = col(LimitChangeRow.strategy).in_(named)
            rest = col(LimitChangeRow.strategy).not_in(services.directory.assigned() | {""})
            query = query.where(mine | rest if has_rest else mine)
        if before is not None:
            query = query.where(col(LimitChangeRow.id) < before)
        return [_past(row) for row in session.exec(query)]

    page, following = services.cursors.page(scope, await services.database.read(read), limit, lambda change: change.id)
    return Page[PastChange](data=page, next=following)


async def _change(
    request: Request, services: Services, who: Principal, body: LimitsChange, strategy: str
) -> ChangedLimits:
    told = await _ask(services, who, body, strategy, dry_run=body.dry_run)
    if told["loosened"] and not body.dry_run:
        await confirm_step_up(request, who)
        told = await _ask(services, who, body, strategy, dry_run=False, may_loosen=True)
    return _told(told)


async def _ask(
    services: Services, who: Principal, body: LimitsChange, strategy: str, *, dry_run: bool, may_loosen: bool = False
) -> dict[str, Any]:
    return await services.engine.ask(
        "set_limits", strategy=strategy, changes=body.changes, reason=body.reason, by=who.actor, dry_run=dry_run,
        may_loosen=may_loosen, timeout_s=15,
    )  # fmt: skip


def _is_mine(services: Services, who: Principal, strategy: str | None) -> bool:
    return strategy is not None and services.directory.sees_strategy(who, strategy)


def _headroom(one: Mapping[str, Any]) -> str | None:
    if one["limit"] is None or one["used"] is None:
        return None
    return text(max(Decimal(one["limit"]) - Decimal(one["used"]), Decimal(0)))


def _told(answer: Mapping[str, Any]) -> ChangedLimits:
    return ChangedLimits.model_validate({**answer, "strategy": answer["strategy"] or None})


def _past(row: LimitChangeRow) -> PastChange:
    assert row.id is not None
    return PastChange(
        id=row.id, created_at=instant(row.created_ns), strategy=row.strategy or None, actor=row.actor,
        reason=row.reason, changed=msgspec.json.decode(row.changed),
    )  # fmt: skip
