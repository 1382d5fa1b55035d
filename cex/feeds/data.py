"""Normalised market data: what every feed tells, whatever its venue's dialect.

Prices are ticks and sizes lots of the named instrument. Each datum has two times in nanoseconds since the epoch:
`venue_ns` is the venue's own word (0 where it says none), `received_ns` is our clock when its bytes arrived. A book is
an immutable copy of its best levels; nothing changes it after it was told.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec

from domain.events import BookChanged, BookInvalidated, Event, TradePrinted

Levels: TypeAlias = tuple[tuple[int, int], ...]
"""Price in ticks and size in lots, best first."""


class _Datum(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="datum"):
    instrument: str
    venue_ns: int = 0
    received_ns: int = 0


class Book(_Datum, frozen=True, kw_only=True):
    """The best levels after one more update. An empty side means nobody quotes there."""

    bids: Levels
    asks: Levels
    sequence: int
    """Grows from one book to the next; the venue's own number where it has one."""
    monotonic_ns: int = 0
    """When its bytes arrived, by the clock that only measures distances."""


class BookLost(_Datum, frozen=True, kw_only=True):
    """The book may be wrong (gap, disconnect, checksum): nobody relies on it until the next `Book`."""

    reason: str


class Orders(_Datum, frozen=True, kw_only=True):
    """Single orders of an L3 book that changed, or with `is_snapshot` all there are in it."""

    orders: tuple[tuple[str, bool, int, int], ...]
    """Order id, whether it is a bid, ticks, and lots: none left when it is gone."""
    is_snapshot: bool = False


class PublicTrade(_Datum, frozen=True, kw_only=True):
    """A trade of others. `is_buyer_maker` says the seller took."""

    trade_id: str
    """The venue's; empty where it gives none."""
    price_ticks: int
    qty_lots: int
    is_buyer_maker: bool


class TradesMissing(_Datum, frozen=True, kw_only=True):
    """Trades that nobody brought and REST does not tell any more: what is computed of trades has a hole here."""

    reason: str


class Candle(_Datum, frozen=True, kw_only=True):
    """One closed OHLCV bar; `venue_ns` is when it opened. Exact as the venue wrote it, also off today's grid."""

    period_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Funding(_Datum, frozen=True, kw_only=True):
    """A contract's funding rate: paid at `venue_ns`, or where `is_next` expected for `due_ns`."""

    rate: Decimal
    due_ns: int
    is_next: bool = False
    mark: Decimal | None = None
    index: Decimal | None = None


class OpenInterest(_Datum, frozen=True, kw_only=True):
    """What is open of a contract: in the venue's own unit (contracts, or base), and its value in quote."""

    amount: Decimal | None
    value: Decimal | None


Datum: TypeAlias = Book | BookLost | Candle | Funding | OpenInterest | Orders | PublicTrade | TradesMissing


def event_of(datum: Datum) -> Event | None:
    """Say a datum in the engine's words; nothing for what it has no word for."""
    if isinstance(datum, Book):
        return BookChanged(
            time_ns=0,
            instrument=datum.instrument,
            bids=datum.bids,
            asks=datum.asks,
            update_id=datum.sequence,
            received_ns=datum.monotonic_ns,
        )
    if isinstance(datum, PublicTrade):
        return TradePrinted(
            time_ns=0,
            instrument=datum.instrument,
            price_ticks=datum.price_ticks,
            qty_lots=datum.qty_lots,
            is_buyer_maker=datum.is_buyer_maker,
        )
    if isinstance(datum, BookLost):
        return BookInvalidated(time_ns=0, instrument=datum.instrument, reason=datum.reason)
    return None
