"""Candles in the table: written by the engine's process as it sees public trades, read by the API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlmodel import Session, SQLModel

from api.candles.bars import HOUR_S, KEPT_S, Candle, merged, span_of
from api.candles.tables import CandleRow
from domain import Instrument, VenueUnavailable
from domain import events as e
from engine.feed import text
from runtime.database import Database

log = structlog.get_logger(__name__)

_TABLE: Any = SQLModel.metadata.tables[str(CandleRow.__tablename__)]
EVERY_S: Final = 1.0
_NUMBERS: Final = ("open", "high", "low", "close", "volume", "quote")
_Key = tuple[str, int, int]
"""Instrument, span, start."""
_KEY: Final = (_TABLE.c.instrument, _TABLE.c.span_s, _TABLE.c.start_s)
_UPDATE: Final = sa.update(_TABLE).where(*(column == sa.bindparam(f"at_{column.name}") for column in _KEY))
_CHUNK: Final = 500
"""Candles in a statement."""


class CandleWriter:
    """Of one running engine. A crash loses what was not flushed, of this one table; nobody makes it up."""

    def __init__(self, database: Database, instruments: Mapping[str, Instrument], now_ns: Callable[[], int]) -> None:
        self._database = database
        self._instruments = instruments
        self._now_ns = now_ns
        self._fresh: dict[_Key, Candle] = {}
        self._swept_s = 0

    def on_step(self, event: e.Event) -> None:
        """Count a public trade; cheap."""
        if not isinstance(event, e.TradePrinted) or (found := self._instruments.get(event.instrument)) is None:
            return
        price, qty = found.price(event.price_ticks), found.qty(event.qty_lots)
        now_s = event.time_ns // 10**9
        for span_s in KEPT_S:
            self._add((found.id, span_s, now_s // span_s * span_s), price, qty)

    def _add(self, key: _Key, price: Decimal, qty: Decimal) -> None:
        candle, known = Candle.of_trade(key[2], price, qty), self._fresh.get(key)
        self._fresh[key] = candle if known is None else known.then(candle)

    async def run(self) -> None:
        """Write what was counted, once a second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted, and once an hour forget what is too old; kept where the database does not answer."""
        fresh, self._fresh = self._fresh, {}
        now_s = self._now_ns() // 10**9
        is_due = now_s - self._swept_s >= HOUR_S
        try:
            if fresh:
                await self._database.run(lambda session: _write(session, fresh))
                fresh = {}
            if is_due:
                await self._database.run(lambda session: _forget(session, now_s))
                self._swept_s = now_s
        except VenueUnavailable as exc:
            log.warning("candles.waiting", error=str(exc))
            for key, candle in self._fresh.items():
                fresh[key] = fresh[key].then(candle) if key in fresh else candle
            self._fresh = fresh


def _write(session: Session, fresh: Mapping[_Key, Candle]) -> None:
    keys = sorted(fresh)
    for begin in range(0, len(keys), _CHUNK):
        chunk = keys[begin : begin + _CHUNK]
        rows = session.execute(sa.select(_TABLE).where(sa.tuple_(*_KEY).in_(chunk)))
        known = {(row.instrument, row.span_s, row.start_s): _candle(row) for row in rows}
        new = [_named(key, "") | _values(fresh[key]) for key in chunk if key not in known]
        if new:
            session.execute(sa.insert(_TABLE), new)
        if known:
            session.execute(_UPDATE, [_named(key, "at_") | _values(was.then(fresh[key])) for key, was in known.items()])


def _named(key: _Key, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{column.name}": value for column, value in zip(_KEY, key, strict=True)}


def _forget(session: Session, now_s: int) -> None:
    for span_s, kept_s in KEPT_S.items():
        session.execute(sa.delete(_TABLE).where(_TABLE.c.span_s == span_s, _TABLE.c.start_s < now_s - kept_s))


def read_candles(
    session: Session, instrument: str, interval_s: int, *, since_s: int | None, before_s: int, limit: int
) -> list[Candle]:
    """Up to `limit` candles that begin before an instant, and not before `since_s`; the newest first."""
    span_s = span_of(interval_s)
    where = [_TABLE.c.instrument == instrument, _TABLE.c.span_s == span_s, _TABLE.c.start_s < before_s]
    if since_s is not None:
        where.append(_TABLE.c.start_s >= since_s)
    # As many spans as `limit` whole intervals can have: only of one beyond them something may be missing.
    newest = sa.select(_TABLE).where(*where).order_by(_TABLE.c.start_s.desc()).limit(limit * (interval_s // span_s))
    found = [_candle(row) for row in session.execute(newest)]
    return list(reversed(merged(reversed(found), interval_s)))[:limit]


def kept_since(session: Session, instrument: str, interval_s: int) -> int | None:
    """When the oldest candle that an interval can be made of begins; nothing where there is none."""
    query = sa.select(sa.func.min(_TABLE.c.start_s)).where(
        _TABLE.c.instrument == instrument, _TABLE.c.span_s == span_of(interval_s)
    )
    found: int | None = session.execute(query).scalar_one()
    return found


def _values(candle: Candle) -> dict[str, Any]:
    return {name: text(getattr(candle, name)) for name in _NUMBERS} | {"trades": candle.trades}


def _candle(row: Any) -> Candle:
    numbers = {name: Decimal(getattr(row, name)) for name in _NUMBERS}
    return Candle(start_s=row.start_s, trades=row.trades, **numbers)
