"""OKX: channels `books` (400 levels, a diff each 100 ms, `prevSeqId` and a checksum) and `trades`.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
The checksum is compared where the venue sends one other than zero; the chain of sequence numbers always.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cex.feeds import checksums
from cex.feeds.data import Datum, PublicTrade
from cex.feeds.dialects.dialect import Arrival, BookKeeper, Resync
from cex.feeds.text_book import TextBook
from cex.markets import Market
from cex.numbers import to_decimal
from domain import VenueUnavailable


class _Argument(msgspec.Struct):
    channel: str = ""


class _Head(msgspec.Struct):
    arg: _Argument = msgspec.field(default_factory=_Argument)
    event: str = ""
    action: str = ""
    code: str = ""
    msg: str = ""


class _Depth(msgspec.Struct):
    asks: list[list[str]]
    bids: list[list[str]]
    ts: str
    seq_id: int = msgspec.field(name="seqId")
    prev_seq_id: int = msgspec.field(name="prevSeqId")
    checksum: int = 0


class _Trade(msgspec.Struct):
    trade_id: str = msgspec.field(name="tradeId")
    px: str
    sz: str
    side: str
    ts: str


class _Books(msgspec.Struct):
    data: list[_Depth]


class _Trades(msgspec.Struct):
    data: list[_Trade]


class OkxDialect:
    """See `cex.feeds.dialects`."""

    ping = "ping"

    def __init__(self, market: Market, levels: int) -> None:
        arguments = [{"channel": channel, "instId": market.venue_symbol} for channel in ("books", "trades")]
        self.opening: tuple[str, ...] = (msgspec.json.encode({"op": "subscribe", "args": arguments}).decode(),)
        self._market = market
        self._keeper = BookKeeper(market, levels, checksums.okx, checksums.OKX_LEVELS, TextBook(market.instrument))
        self._seq_id: int | None = None

    def receive(self, data: bytes, arrival: Arrival) -> Sequence[Datum]:
        if data == b"pong":
            return ()
        head = msgspec.json.decode(data, type=_Head)
        if head.event == "error":
            raise VenueUnavailable(f"{self._market.id}: subscription refused: {head.code} {head.msg}")
        if head.event or head.arg.channel not in ("books", "trades"):
            return ()
        if head.arg.channel == "trades":
            return [self._trade(trade, arrival) for trade in msgspec.json.decode(data, type=_Trades).data]
        is_snapshot = head.action == "snapshot"
        return [self._depth(depth, is_snapshot, arrival) for depth in msgspec.json.decode(data, type=_Books).data]

    def _depth(self, depth: _Depth, is_snapshot: bool, arrival: Arrival) -> Datum:
        book = self._keeper.book
        if is_snapshot:
            book.clear()
        elif self._seq_id != depth.prev_seq_id:
            raise Resync(f"gap in {self._market.id}: expected update after {self._seq_id}, found {depth.prev_seq_id}")
        for is_bid, rows in ((True, depth.bids), (False, depth.asks)):
            for price, qty, *_ in rows:
                book.set(is_bid=is_bid, price=price, qty=qty)
        self._seq_id = depth.seq_id
        if depth.checksum:
            self._keeper.check(depth.checksum)
        return self._keeper.tell(arrival, venue_ns=int(depth.ts) * 1_000_000, sequence=depth.seq_id)

    def _trade(self, trade: _Trade, arrival: Arrival) -> Datum:
        instrument = self._market.instrument
        return PublicTrade(
            instrument=self._market.id,
            venue_ns=int(trade.ts) * 1_000_000,
            received_ns=arrival.received_ns,
            trade_id=trade.trade_id,
            price_ticks=instrument.ticks(to_decimal(trade.px)),
            qty_lots=instrument.lots(to_decimal(trade.sz)),
            is_buyer_maker=trade.side == "sell",
        )
