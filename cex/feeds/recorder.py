"""A followed market written down as lines of `<time of receipt in ns> <message>`, which `capstan data import` reads
(docs/data.md): Binance's grammar for every venue.

What a Binance-protocol venue said is written as it came, merged over its lines and without copies. Other venues' books
are states: the first, and each after a loss, is written as a snapshot, the next ones as diffs to the one before. A lost
book is written as a diff that leaves a hole, so that it is stale for the reader, too, until the next snapshot.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, BinaryIO, Final

import msgspec

from cex.feeds.data import Book, BookLost, Datum, Levels, PublicTrade, TradesMissing
from cex.markets import Market
from cex.numbers import price_text, qty_text

_encode: Final = msgspec.json.Encoder().encode
_MS: Final = 1_000_000


class Recorder:
    """Writes one instrument. Buffered by the file, which is the caller's to flush and close."""

    def __init__(self, file: BinaryIO, market: Market) -> None:
        self.tally: Counter[str] = Counter()
        self._file = file
        self._market = market
        self._symbol = market.venue_symbol.upper()
        self._name = self._symbol.lower()
        self._last: Book | None = None
        self._sequence = 0
        self._trades = 0
        self._is_raw = False

    def raw(self, data: bytes, received_ns: int) -> None:
        """Take a diff or a snapshot of the venue's own, in its own words; from then on books are not written beside."""
        self._is_raw = True
        is_diff = b'"depthUpdate"' in data[:96]
        self.tally["diffs" if is_diff else "snapshots"] += 1
        if is_diff and not data.startswith(b'{"stream"'):
            data = b'{"stream":"%s@depth@100ms","data":%s}' % (self._name.encode(), data)
        self._write(received_ns, data)

    def take(self, datum: Datum) -> None:
        """Take what the feed tells."""
        if isinstance(datum, PublicTrade):
            self._trade(datum)
        elif isinstance(datum, TradesMissing):
            self.tally["holes in trades"] += 1
        elif isinstance(datum, BookLost):
            self._lost(datum)
        elif isinstance(datum, Book) and not self._is_raw:
            self._book(datum)

    def _book(self, book: Book) -> None:
        self._sequence += 1
        last, self._last = self._last, book
        if last is None:
            self.tally["snapshots"] += 1
            sides = {"bids": self._rows(book.bids), "asks": self._rows(book.asks)}
            self._write(book.received_ns, _encode({"lastUpdateId": self._sequence, **sides}))
            return
        self.tally["diffs"] += 1
        bids, asks = changes(last.bids, book.bids), changes(last.asks, book.asks)
        self._diff(book.venue_ns or book.received_ns, book.received_ns, self._sequence, bids, asks)

    def _lost(self, lost: BookLost) -> None:
        self.tally["losses"] += 1
        if self._last is not None:
            self._last = None
            self._sequence += 2
            self._diff(lost.received_ns, lost.received_ns, self._sequence, (), ())

    def _diff(self, time_ns: int, received_ns: int, number: int, bids: Levels, asks: Levels) -> None:
        message = {
            "e": "depthUpdate",
            "E": time_ns // _MS,
            "s": self._symbol,
            "U": number,
            "u": number,
            "b": self._rows(bids),
            "a": self._rows(asks),
        }
        self._write(received_ns, _encode({"stream": f"{self._name}@depth", "data": message}))

    def _trade(self, trade: PublicTrade) -> None:
        self.tally["trades"] += 1
        self._trades += 1
        instrument, time_ms = self._market.instrument, (trade.venue_ns or trade.received_ns) // _MS
        message = {
            "e": "trade",
            "E": time_ms,
            "s": self._symbol,
            "t": int(trade.trade_id) if trade.trade_id.isdigit() else self._trades,
            "p": price_text(instrument, trade.price_ticks),
            "q": qty_text(instrument, trade.qty_lots),
            "T": time_ms,
            "m": trade.is_buyer_maker,
        }
        self._write(trade.received_ns, _encode({"stream": f"{self._name}@trade", "data": message}))

    def _rows(self, levels: Levels) -> list[Any]:
        instrument = self._market.instrument
        return [[price_text(instrument, ticks), qty_text(instrument, lots)] for ticks, lots in levels]

    def _write(self, received_ns: int, message: bytes) -> None:
        self._file.write(b"%d %s\n" % (received_ns, message))


def changes(before: Levels, after: Levels) -> Levels:
    """Give the levels that differ from one book to the next, with size zero for those that are gone."""
    old, new = dict(before), dict(after)
    gone = tuple((ticks, 0) for ticks in old if ticks not in new)
    return gone + tuple((ticks, lots) for ticks, lots in after if old.get(ticks) != lots)
