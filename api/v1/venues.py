"""Exchanges: those of this run as they stand now, and what each one that is known has."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.auth.principal import require
from api.auth.scopes import Scope
from api.core.errors import NotFound
from api.services import Use

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[require(Scope.MARKET_READ)])

VenueId = Annotated[str, Path(max_length=40, examples=["binance"])]


class Feature(BaseModel):
    """How one thing is done at an exchange."""

    way: str = Field(description="`native`, `ccxt.pro`, `polled`, `emulated` or `none`.", examples=["native"])
    filled_by: str = Field(description="What that means.")


class Exchange(BaseModel):
    """An exchange that the adapter was tried with, offline: what it was seen to do, not what a page promises."""

    id: str = Field(description="What settings call it: `exchange` of a venue.")
    title: str
    kinds: list[str] = Field(description="`spot`, `swap`.")
    has_testnet: bool
    trades: bool = Field(description="Whether orders are sent there; its market data may be followed all the same.")
    why_not: str | None
    features: dict[str, Feature]


class Exchanges(BaseModel):
    """All that are known, by name."""

    data: list[Exchange]


class VenueBook(BaseModel):
    """How current one book is."""

    instrument: str
    is_valid: bool = Field(description="False while it cannot be trusted: a gap, a lost connection.")
    age_ms: int | None = Field(description="Since it last changed; null before it came. A quiet market ages, too.")


class Venue(BaseModel):
    """One account at one exchange, as the engine stands with it now."""

    id: str
    exchange: str | None
    is_connected: bool = Field(description="At least one book can be trusted.")
    is_trading: bool = Field(
        description="Orders go out: there are keys, and the account was compared with the venue since the last gap."
    )
    is_paper: bool = Field(description="Data is real, execution is simulated.")
    failure: str | None = Field(description="Why the adapter ended, where it did.")
    clock_ahead_ms: float | None = Field(description="How far our clock is ahead of the venue's; null where unknown.")
    books: list[VenueBook]
    capabilities: Exchange | None


class Venues(BaseModel):
    """Those of the run."""

    data: list[Venue]


@router.get("/venues")
async def list_venues(services: Use) -> Venues:
    """The run's venues: connected or not, how old their books are, how far their clocks are off, what they can."""
    return Venues.model_validate({"data": (await services.engine.ask("venues"))["venues"]})


@router.get("/venues/{venue}")
async def get_venue(services: Use, venue: VenueId) -> Venue:
    """One of the run's venues."""
    for found in (await list_venues(services)).data:
        if found.id == venue:
            return found
    raise NotFound(f"no venue {venue[:40]!r}", hint="GET /v1/venues has those of this run")


@router.get("/exchanges")
async def list_exchanges(services: Use) -> Exchanges:
    """Every exchange that can be a venue, with the ways in which each feature is filled."""
    return Exchanges.model_validate({"data": (await services.engine.ask("exchanges"))["exchanges"]})
