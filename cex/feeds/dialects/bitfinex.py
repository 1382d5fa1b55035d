"""Bitfinex, WebSocket v2: channels `book` and `trades`, with a sequence number on every message and checksums.

https://docs.bitfinex.com/docs/ws-general (flags), /reference/ws-public-books, …-raw-books, …-trades
A level is [price, count, amount], an order of a raw book [id, price, amount]; asks are negative; a count or a price of
zero takes away. Raw books are L3: every order by its id, and `Orders` besides `Book`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cex.feeds import checksums
from cex.feeds.data import Datum, Orders, PublicTrade
from cex.feeds.dialects.dialect import Arrival, BookKeeper, Resync
from cex.feeds.text_book import TextBook
from cex.markets import Market
from cex.numbers import to_decimal
from domain import InputError, VenueUnavailable

SEQUENCES: Final = 65_536
CHECKSUMS: Final = 131_072
DEPTHS: Final = (25, 100, 250)
_BROKEN: Final = {20051, 20060, 20061}
"""Info codes: reconnect; maintenance begins, ends."""

_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Info(msgspec.Struct):
    event: str
    channel: str = ""
    chan_id: int = msgspec.field(name="chanId", default=0)
    code: int = 0
    msg: str = ""


class BitfinexDialect:
    """See `cex.feeds.dialects`."""

    ping = '{"event":"ping"}'

    def __init__(self, market: Market, levels: int, *, is_raw: bool = False) -> None:
        depth = next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])
        book: dict[str, Any] = {"channel": "book", "prec": "R0" if is_raw else "P0", "freq": "F0", "len": str(depth)}
        if is_raw:
            del book["freq"]
        subscriptions = [{"event": "subscribe", "symbol": market.venue_symbol, **one} for one in (book, _TRADES)]
        messages: list[dict[str, Any]] = [{"event": "conf", "flags": SEQUENCES | CHECKSUMS}, *subscriptions]
        self.opening = tuple(msgspec.json.encode(message).decode() for message in messages)
        self._market = market
        self._is_raw = is_raw
        self._keeper = BookKeeper(
            market, levels, checksums.bitfinex, checksums.BITFINEX_LEVELS, TextBook(market.instrument)
        )
        self._channels: dict[int, str] = {}
        self._sequence: int | None = None
        self._has_snapshot = False

    def receive(self, data: bytes, arrival: Arrival) -> Sequence[Datum]:
        if data.startswith(b"{"):
            self._info(msgspec.json.decode(data, type=_Info))
            return ()
        channel, raw, *rest = _decode(data)
        payload = bytes(raw)
        name = self._channels.get(int(bytes(channel)))
        if name is None:
            raise Resync(f"{self._market.id}: a message of channel {bytes(channel).decode()}, which is not subscribed")
        self._follow(rest)
        if payload == b'"hb"':
            return ()
        if payload == b'"cs"':
            self._keeper.check(int(bytes(rest[0])))
            if self._keeper.is_crossed:
                raise Resync(f"{self._market.id} is crossed at a checksum")
            return ()
        if name == "trades":
            return [self._trade(rest[0], arrival)] if payload == b'"te"' else ()
        return self._book(payload, arrival)

    def _info(self, info: _Info) -> None:
        if info.event == "subscribed":
            self._channels[info.chan_id] = info.channel
        elif info.event == "error":
            raise VenueUnavailable(f"{self._market.id}: subscription refused: {info.code} {info.msg}")
        elif info.event == "info" and info.code in _BROKEN:
            raise Resync(f"the venue asks to connect anew: {info.code} {info.msg}")

    def _follow(self, rest: Sequence[msgspec.Raw]) -> None:
        """Check that no message is missing: each ends with the connection's next number."""
        if not rest:
            raise Resync(f"{self._market.id}: a message without a sequence number")
        number = int(bytes(rest[-1]))
        if self._sequence is not None and number != self._sequence + 1:
            raise Resync(f"gap in {self._market.id}: expected message {self._sequence + 1}, found {number}")
        self._sequence = number

    def _book(self, payload: bytes, arrival: Arrival) -> Sequence[Datum]:
        is_snapshot = payload.startswith(b"[[") or payload == b"[]"
        if is_snapshot:
            self._keeper.book.clear()
            self._has_snapshot = True
        elif not self._has_snapshot:
            raise Resync(f"{self._market.id}: an update before the snapshot")
        rows = [bytes(row) for row in _decode(payload)] if is_snapshot else [payload]
        changes = [self._row(row) for row in rows]
        told: list[Datum] = []
        if self._is_raw:
            told.append(
                Orders(
                    instrument=self._market.id,
                    received_ns=arrival.received_ns,
                    orders=tuple(changes),
                    is_snapshot=is_snapshot,
                )
            )
        # Rows of one match come one by one, and the book crosses in between: it is told when it does not.
        if not self._keeper.is_crossed:
            told.append(self._keeper.tell(arrival))
        return told

    def _row(self, row: bytes) -> tuple[str, bool, int, int]:
        """Lay down one row; give order id, whether it is a bid, ticks and lots."""
        texts = [bytes(part).decode() for part in _decode(row)]
        if len(texts) != 3:
            raise InputError(f"expected three numbers, found {row[:100]!r}")
        book, amount = self._keeper.book, texts[2]
        is_bid, size = not amount.startswith("-"), amount.removeprefix("-")
        if not self._is_raw:
            price, number, _ = texts
            ticks, lots = book.set(is_bid=is_bid, price=price, qty="0" if number == "0" else size, shown=amount)
            return "", is_bid, ticks, lots
        order, price = int(texts[0]), texts[1]
        if to_decimal(price) == 0:
            known = book.remove_order(order)
            return str(order), known[0] if known else is_bid, known[1] if known else 0, 0
        ticks, lots = book.set(is_bid=is_bid, price=price, qty=size, shown=amount, order=order)
        return str(order), is_bid, ticks, lots

    def _trade(self, row: msgspec.Raw, arrival: Arrival) -> Datum:
        number, time_ms, amount, price = (bytes(part).decode() for part in _decode(row)[:4])
        instrument = self._market.instrument
        return PublicTrade(
            instrument=self._market.id,
            venue_ns=int(time_ms) * 1_000_000,
            received_ns=arrival.received_ns,
            trade_id=number,
            price_ticks=instrument.ticks(to_decimal(price)),
            qty_lots=instrument.lots(to_decimal(amount.removeprefix("-"))),
            is_buyer_maker=amount.startswith("-"),
        )


_TRADES: Final = {"channel": "trades"}
