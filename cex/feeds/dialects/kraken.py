"""Kraken, WebSocket v2: channels `book` (a checksum with every message) and `trade`.

https://docs.kraken.com/api/docs/websocket-v2/book and …/guides/spot-ws-book-v2
Numbers are JSON numbers whose trailing zeros count in the checksum: they are read as decimals, digit for digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from cex.feeds import checksums
from cex.feeds.data import Datum, PublicTrade
from cex.feeds.dialects.dialect import Arrival, BookKeeper, Resync
from cex.feeds.text_book import TextBook
from cex.markets import Market
from cex.numbers import plain
from domain import InputError, VenueUnavailable

DEPTHS: Final = (10, 25, 100, 500, 1_000)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Head(msgspec.Struct):
    channel: str = ""
    type: str = ""
    method: str = ""
    success: bool = True
    error: str = ""


class _Level(msgspec.Struct):
    price: Decimal
    qty: Decimal


class _Depth(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    timestamp: str = ""


class _Trade(msgspec.Struct):
    trade_id: int
    side: str
    price: Decimal
    qty: Decimal
    timestamp: str


class _Books(msgspec.Struct):
    data: list[_Depth]


class _Trades(msgspec.Struct):
    data: list[_Trade]


class KrakenDialect:
    """See `cex.feeds.dialects`."""

    ping = '{"method":"ping"}'

    def __init__(self, market: Market, levels: int) -> None:
        self._depth = next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])
        channels = ({"channel": "book", "depth": self._depth}, {"channel": "trade", "snapshot": False})
        self.opening = tuple(
            msgspec.json.encode({"method": "subscribe", "params": {**one, "symbol": [market.unified]}}).decode()
            for one in channels
        )
        self._market = market
        self._keeper = BookKeeper(
            market, levels, checksums.kraken, checksums.KRAKEN_LEVELS, TextBook(market.instrument)
        )
        self._has_snapshot = False

    def receive(self, data: bytes, arrival: Arrival) -> Sequence[Datum]:
        head = msgspec.json.decode(data, type=_Head)
        if not head.success:
            raise VenueUnavailable(f"{self._market.id}: subscription refused: {head.error}")
        if head.channel == "trade" and head.type == "update":
            return [self._trade(trade, arrival) for trade in msgspec.json.decode(data, type=_Trades).data]
        if head.channel != "book":
            return ()
        is_snapshot = head.type == "snapshot"
        return [self._changed(depth, is_snapshot, arrival) for depth in msgspec.json.decode(data, type=_Books).data]

    def _changed(self, depth: _Depth, is_snapshot: bool, arrival: Arrival) -> Datum:
        book = self._keeper.book
        if is_snapshot:
            book.clear()
            self._has_snapshot = True
        elif not self._has_snapshot:
            raise Resync(f"{self._market.id}: an update before the snapshot")
        for is_bid, levels in ((True, depth.bids), (False, depth.asks)):
            for level in levels:
                book.set(is_bid=is_bid, price=plain(level.price), qty=plain(level.qty))
        book.truncate(self._depth)
        self._keeper.check(depth.checksum)
        return self._keeper.tell(arrival, venue_ns=_nanoseconds(depth.timestamp) if depth.timestamp else 0)

    def _trade(self, trade: _Trade, arrival: Arrival) -> Datum:
        instrument = self._market.instrument
        return PublicTrade(
            instrument=self._market.id,
            venue_ns=_nanoseconds(trade.timestamp),
            received_ns=arrival.received_ns,
            trade_id=str(trade.trade_id),
            price_ticks=instrument.ticks(trade.price),
            qty_lots=instrument.lots(trade.qty),
            is_buyer_maker=trade.side == "sell",
        )


def _nanoseconds(text: str) -> int:
    """Read RFC 3339 with up to nine digits behind the second."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    try:
        since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    except ValueError as exc:
        raise InputError(f"not a time: {text!r}") from exc
