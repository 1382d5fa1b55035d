"""What is traded here: instruments, and their books as the engine sees them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.auth.principal import require
from api.auth.scopes import Scope
from api.core.errors import NotFound
from api.services import Use

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[require(Scope.MARKET_READ)])

InstrumentId = Annotated[str, Path(max_length=80, examples=["binance:ETHUSDC"])]


class Instrument(BaseModel):
    """Something that can be traded at one venue. Prices lie on the tick, sizes on the lot."""

    id: str
    venue: str
    symbol: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_notional: str = Field(description="In the quote asset.")
    maker_fee_bps: str
    taker_fee_bps: str


class Book(BaseModel):
    """The best levels, best first, as `[price, size]`."""

    instrument: str
    is_valid: bool = Field(description="False while it cannot be trusted: a gap, a lost connection, an engine away.")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Instruments(BaseModel):
    """All of them: there are as many as the engine was told to follow."""

    data: list[Instrument]


@router.get("/instruments")
async def list_instruments(services: Use) -> Instruments:
    """Every instrument that the engine follows."""
    answer = await services.engine.ask("instruments")
    return Instruments.model_validate({"data": answer["instruments"]})


@router.get("/instruments/{instrument:path}")
async def get_instrument(services: Use, instrument: InstrumentId) -> Instrument:
    """One instrument."""
    for found in (await list_instruments(services)).data:
        if found.id == instrument:
            return found
    raise NotFound(f"no instrument {instrument[:80]!r}", hint="GET /v1/instruments has them")


@router.get("/books/{instrument:path}")
async def get_book(
    services: Use, instrument: InstrumentId, levels: Annotated[int, Query(ge=1, le=20, description="A side.")] = 20
) -> Book:
    """An instrument's book; the stream has it as it changes."""
    found = services.mirror.state("books").get(instrument)
    if found is None:
        raise NotFound(f"no book of {instrument[:80]!r}", hint="GET /v1/instruments has what is followed")
    return Book.model_validate(found | {"bids": found["bids"][:levels], "asks": found["asks"][:levels]})
