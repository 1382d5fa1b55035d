"""Public trades of an instrument, as the engine sees them, and the candles they make."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field
from sqlmodel import Session

from api.auth.principal import require
from api.auth.scopes import Scope
from api.candles.bars import INTERVALS, Candle, Interval
from api.candles.store import kept_since, read_candles
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant, instant_or_none
from api.services import Services, Use
from api.v1.market import InstrumentId
from engine.feed import text

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[require(Scope.MARKET_READ)])

_NUMBERS: Final = ("open", "high", "low", "close", "volume", "quote")


class PublicTrade(BaseModel):
    """One trade of anybody's."""

    id: str = Field(description="Ours, of this process of the engine; the venue's own is not kept.")
    instrument: str
    side: Literal["buy", "sell"] = Field(description="What the one who took did.")
    price: str
    qty: str
    time_ns: str = Field(description="When the engine learnt of it.")


class ShownCandle(BaseModel):
    """What traded in one interval. One without trades is not there."""

    start_at: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str = Field(description="In the base asset.")
    quote: str = Field(description="The same in the quote asset.")
    trades: int
    is_closed: bool = Field(description="False while its interval goes on.")


class Candles(Page[ShownCandle]):
    """The newest first."""

    kept_since: datetime | None = Field(
        description="The oldest there is for this interval: from when the engine first followed the instrument, but no "
        "longer than 30 days of minutes, 400 of hours. While no engine ran there are none."
    )


@router.get("/trades/{instrument:path}", response_model=Page[PublicTrade])
async def list_trades(
    services: Use, instrument: InstrumentId, limit: Limit = 100, cursor: CursorText = None
) -> Page[PublicTrade]:
    """Public trades, the newest first: the last thousand since this API follows the engine. The stream has them all."""
    trades = services.mirror.trades(instrument)
    _check_known(services, instrument)
    scope = f"trades/{services.mirror.epoch}/{instrument}"
    before = services.cursors.open(scope, cursor, int)
    found = [trade for trade in reversed(trades) if before is None or trade["number"] < before]
    page, following = services.cursors.page(scope, found[: limit + 1], limit, lambda trade: trade["number"])
    epoch = services.mirror.epoch
    shown = [PublicTrade.model_validate(trade | {"id": f"{epoch}-{trade['number']}"}) for trade in page]
    return Page[PublicTrade](data=shown, next=following)


@router.get("/candles/{instrument:path}")
async def list_candles(
    services: Use,
    instrument: InstrumentId,
    interval: Annotated[Interval, Query(description="How long each is; they begin on whole intervals of UTC.")],
    since: Annotated[AwareDatetime | None, Query(description="None that ends at or before this instant.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="None that begins at or after this instant.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Candles:
    """Candles of what traded while the engine ran, the newest first."""
    length_s = INTERVALS[interval]
    scope = f"candles/{instrument}/{interval}/{since}/{until}"
    now_s = services.clock.now_ns() // 10**9
    end_s = now_s + 1 if until is None else min(now_s + 1, -(-int(until.timestamp() * 1_000) // 1_000))
    # A candle begins before `before_s`; asked for whole intervals, so that none is given in part.
    before_s = services.cursors.open(scope, cursor, int) or -(-end_s // length_s) * length_s
    since_s = None if since is None else int(since.timestamp()) // length_s * length_s

    def read(session: Session) -> tuple[list[Candle], int | None]:
        found = read_candles(session, instrument, length_s, since_s=since_s, before_s=before_s, limit=limit + 1)
        return found, kept_since(session, instrument, length_s)

    found, oldest_s = await services.database.read(read)
    if oldest_s is None:
        _check_known(services, instrument)
    page, following = services.cursors.page(scope, found, limit, lambda candle: candle.start_s)
    shown = [_shown(candle, length_s, now_s) for candle in page]
    kept = instant_or_none(None if oldest_s is None else oldest_s * 10**9)
    return Candles(data=shown, next=following, kept_since=kept)


def _check_known(services: Services, instrument: str) -> None:
    if instrument not in services.mirror.state("books") and not services.mirror.trades(instrument):
        raise NotFound(f"nothing is known of {instrument[:80]!r}", hint="GET /v1/instruments has what is followed")


def _shown(candle: Candle, length_s: int, now_s: int) -> ShownCandle:
    numbers = {name: text(getattr(candle, name)) for name in _NUMBERS}
    return ShownCandle(
        start_at=instant(candle.start_s * 10**9), trades=candle.trades, is_closed=candle.start_s + length_s <= now_s,
        **numbers,
    )  # fmt: skip
