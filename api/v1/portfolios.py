"""Portfolios: what each holds and made. Strategies are put into them by the house."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.errors import Forbidden
from api.core.times import instant
from api.portfolios import Portfolio as Known
from api.portfolios.directory import assign, create
from api.services import Services, Use
from engine.feed import text

router = APIRouter(prefix="/v1", tags=["portfolios"])

PortfolioId = Annotated[str, Path(pattern=r"^pf_[0-9a-f]{16}$")]
Name = Annotated[str | None, Query(max_length=80)]


class Portfolio(BaseModel):
    """A book of an organisation."""

    id: str = Field(examples=["pf_0123456789abcdef"])
    name: str
    strategies: list[str]
    has_rest: bool = Field(description="It owns every strategy that is in no other portfolio.")


class Portfolios(BaseModel):
    """Those that the caller may see."""

    data: list[Portfolio]


class NewPortfolio(BaseModel):
    """A portfolio to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "market making"}]})

    name: str = Field(min_length=1, max_length=80)


class MadePortfolio(BaseModel):
    """A portfolio that was just made, empty."""

    id: str
    name: str
    created_at: datetime


class Assignment(BaseModel):
    """Where a strategy goes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"portfolio": "pf_0123456789abcdef"}]})

    portfolio: str = Field(pattern=r"^pf_[0-9a-f]{16}$")


class Position(BaseModel):
    """What a strategy holds of an instrument, and what it made there."""

    portfolio: str
    strategy: str
    instrument: str
    qty: str = Field(description="Negative for what is owed.")
    average_price: str | None
    mark_price: str | None = Field(description="Mid of the book; null while there is none to trust.")
    realised: str
    unrealised: str | None
    currency: str
    fees: dict[str, str] = Field(description="Paid so far, by asset; negative is a rebate.")
    trades: int


class Positions(BaseModel):
    """As of now; `is_live` is false while the engine is away and this is what was last known."""

    is_live: bool
    data: list[Position]


class Result(BaseModel):
    """Profit and loss since the run began, in the unit of account; null while something held has no price."""

    portfolio: str
    strategy: str | None = Field(description="Null is the whole portfolio.")
    result: str | None


class Results(BaseModel):
    """As of now."""

    is_live: bool
    data: list[Result]


class InstrumentResult(BaseModel):
    """What a portfolio made in one instrument, all its strategies together, in the quote asset."""

    portfolio: str
    instrument: str
    currency: str
    qty: str
    realised: str
    unrealised: str | None = Field(description="Null while there is no book to trust.")
    fees: dict[str, str] = Field(description="Paid so far, by asset; negative is a rebate. Not in `realised`.")
    trades: int


class InstrumentResults(BaseModel):
    """As of now."""

    is_live: bool
    data: list[InstrumentResult]


@router.get("/portfolios")
async def list_portfolios(services: Use, who: Annotated[Principal, require(Scope.POSITIONS_READ)]) -> Portfolios:
    """The portfolios that you may see."""
    await services.directory.refresh()
    return Portfolios(data=[_shown(found) for found in services.directory.visible(who)])


@router.get("/portfolios/{portfolio}")
async def get_portfolio(
    services: Use, who: Annotated[Principal, require(Scope.POSITIONS_READ)], portfolio: PortfolioId
) -> Portfolio:
    """One portfolio."""
    await services.directory.refresh()
    return _shown(services.directory.seen(who, portfolio))


@router.post("/portfolios", status_code=201, response_model=MadePortfolio)
async def create_portfolio(
    request: Request,
    services: Use,
    who: Annotated[Principal, require(Scope.ORGANISATION_WRITE)],
    body: NewPortfolio,
    key: IdempotencyKeyText,
) -> Response:
    """Make an empty portfolio in your organisation."""
    if who.portfolios is not None:
        raise Forbidden("a caller of some portfolios makes no others")
    now = services.clock.now_ns()

    def work(session: Session) -> MadePortfolio:
        row = create(session, who.organisation, body.name, now)
        return MadePortfolio(id=row.id, name=row.name, created_at=instant(now))

    once = await services.effects.once(request, who.organisation, key, work)
    await services.directory.refresh(now=True)
    return once.response()


@router.put("/strategies/{strategy}/portfolio")
async def assign_strategy(
    services: Use,
    who: Annotated[Principal, require(Scope.ORGANISATION_WRITE, Scope.STRATEGIES_WRITE)],
    strategy: Annotated[str, Path(pattern=r"^[a-z0-9-]{1,16}$")],
    body: Assignment,
) -> Portfolio:
    """Put a strategy of yours into another portfolio; the house may put one of its own into anybody's.

    What it traded before goes with it.
    """
    await services.directory.refresh(now=True)
    owner = services.directory.check_strategy(who, strategy)
    is_house = services.directory.is_house(who)
    target = services.directory.any(body.portfolio) if is_house else services.directory.seen(who, body.portfolio)
    if owner.id != target.id:
        await services.database.run(lambda session: assign(session, strategy, target.id))
        await services.directory.refresh(now=True)
        services.mirror.reassigned()
    return _shown(services.directory.any(target.id))


@router.get("/positions")
async def list_positions(
    services: Use, who: Annotated[Principal, require(Scope.POSITIONS_READ)], portfolio: Name = None
) -> Positions:
    """What your portfolios' strategies hold; the stream has it as it changes."""
    owners = await _owners(services, who, portfolio)
    found = []
    for value in services.mirror.state("positions").values():
        owner = services.directory.of_strategy(value["strategy"])
        if owner is not None and owner.id in owners:
            found.append(Position.model_validate(value | {"portfolio": owner.id}))
    return Positions(is_live=services.mirror.is_live, data=found)


@router.get("/pnl")
async def list_results(
    services: Use, who: Annotated[Principal, require(Scope.POSITIONS_READ)], portfolio: Name = None
) -> Results:
    """What your portfolios' strategies made; the stream has it once a second."""
    owners = await _owners(services, who, portfolio)
    services.mirror.publish_pnl()
    found: list[Result] = []
    for owner in sorted(owners):
        for key, value in services.hub.channel("pnl", owner).state.items():
            if key == "portfolio" or key.startswith("strategy:"):
                found.append(Result(portfolio=owner, strategy=value.get("strategy"), result=value["result"]))
    return Results(is_live=services.mirror.is_live, data=found)


@router.get("/pnl/instruments")
async def list_instrument_results(
    services: Use, who: Annotated[Principal, require(Scope.POSITIONS_READ)], portfolio: Name = None
) -> InstrumentResults:
    """What your portfolios made in each instrument."""
    owners = await _owners(services, who, portfolio)
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for value in services.mirror.state("positions").values():
        owner = services.directory.of_strategy(value["strategy"])
        if owner is not None and owner.id in owners:
            grouped.setdefault((owner.id, value["instrument"]), []).append(dict(value))
    found = [_added(owner, name, values) for (owner, name), values in sorted(grouped.items())]
    return InstrumentResults(is_live=services.mirror.is_live, data=found)


def _added(portfolio: str, instrument: str, values: list[dict[str, Any]]) -> InstrumentResult:
    fees: dict[str, Decimal] = {}
    for value in values:
        for asset, fee in value["fees"].items():
            fees[asset] = fees.get(asset, Decimal(0)) + Decimal(fee)
    unrealised = [value["unrealised"] for value in values]
    return InstrumentResult(
        portfolio=portfolio, instrument=instrument, currency=values[0]["currency"],
        qty=_sum(value["qty"] for value in values), realised=_sum(value["realised"] for value in values),
        unrealised=None if None in unrealised else _sum(unrealised),
        fees={asset: text(fee) for asset, fee in fees.items()}, trades=sum(value["trades"] for value in values),
    )  # fmt: skip


def _sum(values: Iterable[str]) -> str:
    return text(sum((Decimal(value) for value in values), Decimal(0)))


async def _owners(services: Services, who: Principal, portfolio: str | None) -> frozenset[str]:
    await services.directory.refresh()
    if portfolio is not None:
        return frozenset({services.directory.seen(who, portfolio).id})
    return frozenset(found.id for found in services.directory.visible(who))


def _shown(found: Known) -> Portfolio:
    return Portfolio(id=found.id, name=found.name, strategies=sorted(found.strategies), has_rest=found.has_rest)
