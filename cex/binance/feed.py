"""Market data of Binance-protocol venues without ccxt: socket bytes go straight into the Rust book.

    line 0 ─┐            diffs are kept by the book ──> REST snapshot ──> VALID ──> Book per diff
    line 1 ─┴─> Arbiter ─>     ^                            ^               │
     …           (by U, u)     └── no line is left that     └── gap, crossed, unreadable: BookLost
                                   carries on: BookLost

One connection per instrument and line, so that one slow or broken stream touches no other. With several lines
(`feeds`, `feed_urls`) the first to bring an update wins, what one lost another brings, and one that falls silent while
another speaks is opened anew. When all are silent, REST is asked: a quiet market is confirmed (the same book is told
again, with a new time), dead lines are opened anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog

from cex.binance.connection import BinanceConnection
from cex.binance.messages import Trade
from cex.feeds.arbiter import Arbiter, Gap
from cex.feeds.data import Book, BookLost, Datum, PublicTrade
from cex.feeds.line import Line
from cex.feeds.tape import PAGE, TradeTape
from cex.markets import Market
from cex.numbers import to_decimal
from domain import InputError, VenueUnavailable

log = structlog.get_logger(__name__)

SNAPSHOT_LEVELS = 1_000
SNAPSHOT_WEIGHT = 50
TRADES_WEIGHT = 25
BACKOFF_S = (0.05, 5.0)
"""First and longest wait before asking for a snapshot again."""
HOLD_NS = 200_000_000
"""How long a hole in one line waits for another line to close it."""
WATCH_S = 0.1
"""How often holes and lines that lag are looked at, with more than one line."""


class _Wrapped(msgspec.Struct):
    data: Trade


class _Told(msgspec.Struct):
    """A trade in an answer of REST's."""

    id: int
    price: str
    qty: str
    time: int
    is_buyer_maker: bool = msgspec.field(name="isBuyerMaker")


class _Top(msgspec.Struct):
    last_update_id: int = msgspec.field(name="lastUpdateId")


class _Diff(msgspec.Struct, frozen=True):
    data: bytes
    received_ns: int
    venue_ns: int


class BinanceFeed:
    """The book and the public trades of one instrument."""

    def __init__(self, connection: BinanceConnection, market: Market, emit: Callable[[Datum], None]) -> None:
        from capstan_native import L2Book

        instrument, settings = market.instrument, connection.settings
        self.valid = asyncio.Event()
        self.on_raw: Callable[[bytes, int], None] | None = None
        """Told each diff that goes into the book and each snapshot, as they came, with the time of receipt."""
        self._connection = connection
        self._market = market
        self._emit = emit
        self._clock = connection.clock
        self._settings = settings
        self._book = L2Book(f"{instrument.tick_size:f}", f"{instrument.lot_size:f}", market.venue_symbol)
        self._diffs: Arbiter[_Diff] = Arbiter(hold_ns=HOLD_NS)
        self._tape = TradeTape(market.id, self._past_trades, emit, self._clock, hold_ns=HOLD_NS)
        self._read_trade = msgspec.json.Decoder(Trade).decode
        self._read_wrapped = msgspec.json.Decoder(_Wrapped).decode
        self._announced = False
        self._snapshots: asyncio.Task[None] | None = None
        self._received_ns = 0
        self._venue_ns = 0
        self._silence_ns = settings.stale_after_ms * 1_000_000
        self._confirming = False
        name, epochs = market.venue_symbol.lower(), count()
        subscribe = f'{{"method":"SUBSCRIBE","params":["{name}@depth@100ms","{name}@trade"],"id":1}}'
        self.lines = [
            Line(
                connection,
                name=f"{market.id}.{number}",
                url=url,
                opening=(subscribe,),
                epochs=epochs,
                owner=self,
                on_silence=self._confirm,
            )
            for number, url in enumerate(line_urls(connection))
        ]
        self._is_alone = len(self.lines) == 1

    @property
    def carriers(self) -> int:
        """How many lines could carry the book alone."""
        return int(self._book.is_valid) if self._is_alone else self._diffs.carriers

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for line in self.lines:
                    tasks.create_task(line.run(), name=f"cex.line.{line.name}")
                if not self._is_alone:
                    tasks.create_task(self._watch(), name=f"cex.watch.{self._market.id}")
        finally:
            self._tape.close()
            if self._snapshots is not None:
                self._snapshots.cancel()

    # --- lines

    def line_message(self, epoch: int, data: bytes, received_ns: int) -> None:
        # The event's name stands at the front, also when wrapped; subscription answers have none.
        head = data[:96]
        if b'"depthUpdate"' in head:
            self._take_diff(epoch, data, received_ns)
        elif b'"trade"' in head:
            self._take_trade(epoch, data)
        elif b'"result"' in head:
            self._diffs.open(epoch)
            self._tape.open(epoch)
            if not self._book.is_valid:
                # Subscribed: every diff after the snapshot we ask for now will reach us.
                self._ask_for_snapshot()
        elif b'"error"' in head:
            raise VenueUnavailable(f"{self._market.id}: subscription refused: {data[:200]!r}")

    def line_down(self, epoch: int, reason: str) -> None:
        self._tape.close_line(epoch)
        self._apply(self._diffs.close(epoch, self._clock.monotonic_ns()))
        if self._diffs.carriers:
            return
        self._lose(reason)
        if self._diffs.lines:
            self._ask_for_snapshot()
        else:
            self._diffs.forget()
            if self._snapshots is not None:
                self._snapshots.cancel()
                self._snapshots = None

    def _take_diff(self, epoch: int, data: bytes, received_ns: int) -> None:
        diff = _Diff(data, received_ns, _number(data, b'"E":') * 1_000_000)
        first, final = (0, 0) if self._is_alone else (_number(data, b'"U":'), _number(data, b'"u":'))
        if not final:
            # One line needs no arbiter; and of an unusual form the book says what is wrong with it.
            self._apply((diff,))
            return
        self._apply(self._diffs.take(epoch, first, final, diff, received_ns))

    def _apply(self, items: Sequence[_Diff | Gap]) -> None:
        """Hand what the lines agree on to the book. It notices a gap by itself, at the diff behind it."""
        book = self._book
        for item in items:
            if isinstance(item, Gap):
                log.info("feed.gap", instrument=self._market.id, first=item.first, last=item.last)
                continue
            self._received_ns, self._venue_ns = item.received_ns, item.venue_ns
            if self.on_raw is not None:
                self.on_raw(item.data, self._clock.now_ns())
            was_valid = book.is_valid
            try:
                changed = book.apply_diff(item.data)
            except ValueError as exc:
                book.invalidate(str(exc))
                changed = False
            if changed and book.is_valid:
                self._tell()
            elif was_valid and not book.is_valid:
                self._lose(book.stale_reason or "stale")
                self._ask_for_snapshot()

    def _take_trade(self, epoch: int, data: bytes) -> None:
        try:
            trade = self._read_wrapped(data).data if b'"data"' in data[:96] else self._read_trade(data)
            datum = self._trade(trade.trade_id, trade.price, trade.qty, trade.is_buyer_maker, trade.time)
        except (msgspec.MsgspecError, InputError) as exc:
            log.warning("feed.trade_unreadable", instrument=self._market.id, error=str(exc))
            return
        self._tape.take(epoch, datum, self._clock.monotonic_ns())

    def _trade(self, number: int, price: str, qty: str, is_buyer_maker: bool, time_ms: int) -> PublicTrade:
        instrument = self._market.instrument
        return PublicTrade(
            instrument=self._market.id,
            venue_ns=time_ms * 1_000_000,
            received_ns=self._clock.now_ns(),
            trade_id=str(number),
            price_ticks=instrument.ticks(to_decimal(price)),
            qty_lots=instrument.lots(to_decimal(qty)),
            is_buyer_maker=is_buyer_maker,
        )

    async def _watch(self) -> None:
        """Give up holes in time, and lines that fell silent while another speaks."""
        stall_ns = self._settings.feed_stall_ms * 1_000_000
        while True:
            await asyncio.sleep(WATCH_S)
            now_ns = self._clock.monotonic_ns()
            self._tape.expire(now_ns)
            if self._diffs.due_ns is not None:
                self._apply(self._diffs.expire(now_ns))
            stalled = self._diffs.stalled(now_ns, stall_ns)
            for line in self.lines:
                if line.epoch in stalled:
                    log.warning("feed.line_stalled", line=line.name)
                    line.abandon()

    # --- what is told

    def _tell(self) -> None:
        bids, asks = self._book.top(self._settings.depth_levels)
        self._announced = True
        subscribed = self._diffs.lines
        for line in self.lines:
            if line.epoch in subscribed:
                line.failures = 0
        self._emit(
            Book(
                instrument=self._market.id,
                venue_ns=self._venue_ns,
                received_ns=self._clock.now_ns(),
                bids=tuple(bids),
                asks=tuple(asks),
                sequence=self._book.last_update_id,
                monotonic_ns=self._received_ns,
            )
        )
        self.valid.set()

    def _lose(self, reason: str) -> None:
        self._book.invalidate(reason)
        self.valid.clear()
        if self._announced:
            self._announced = False
            log.warning("book.invalidated", instrument=self._market.id, reason=reason)
            self._emit(BookLost(instrument=self._market.id, received_ns=self._clock.now_ns(), reason=reason))

    # --- REST

    def _ask_for_snapshot(self) -> None:
        if self._snapshots is None or self._snapshots.done():
            self._snapshots = asyncio.create_task(self._load(), name=f"cex.snapshot.{self._market.id}")
            self._snapshots.add_done_callback(_report_failure)

    async def _load(self) -> None:
        """Fetch snapshots until one continues into the diffs that were kept."""
        delay_s = BACKOFF_S[0]
        while True:
            subscribed = self._diffs.lines
            try:
                body = await self._depth(SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT)
                arrived_ns = self._clock.monotonic_ns()
                if self.on_raw is not None:
                    self.on_raw(body, self._clock.now_ns())
                # A line that was subscribed before the question misses nothing after the answer.
                if subscribed & self._diffs.lines and self._book.apply_snapshot(body):
                    self._diffs.vouch(subscribed)
                    self._received_ns, self._venue_ns = arrived_ns, 0
                    self._tell()
                    return
            except (VenueUnavailable, ValueError) as exc:
                log.warning("feed.no_snapshot", instrument=self._market.id, error=str(exc), retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_S[1])

    async def _confirm(self) -> None:
        """Ask REST whether the silence is the market's or the lines'."""
        if not self._book.is_valid or self._confirming:
            return  # A snapshot is on its way, or another line asks.
        if self._clock.monotonic_ns() - self._received_ns < self._silence_ns and not self._is_alone:
            return  # Another line speaks.
        self._confirming = True
        try:
            subscribed = self._diffs.lines
            theirs = msgspec.json.decode(await self._depth(5, 5), type=_Top).last_update_id
        finally:
            self._confirming = False
        if not self._book.is_valid:
            return
        if theirs <= self._book.last_update_id:
            self._diffs.vouch(subscribed)
            self._tell()
        # What REST knows may be on the wire at this moment; the next silence decides.
        elif self._received_ns < self._clock.monotonic_ns() - 2 * self._silence_ns:
            reason = f"stream is silent at update {self._book.last_update_id}, REST is at {theirs}"
            self._lose(reason)
            for line in self.lines:
                line.abandon()

    async def _depth(self, levels: int, weight: int) -> bytes:
        return await self._get("depth", {"limit": levels}, weight)

    async def _past_trades(self, first: int) -> list[PublicTrade]:
        """Ask for trades from a number on; without a key for the newest ones only."""
        if self._connection.has_keys:
            params = {"limit": PAGE, "fromId": first}
            body = await self._get("historicalTrades", params, TRADES_WEIGHT, keyed=True)
        else:
            body = await self._get("trades", {"limit": PAGE}, TRADES_WEIGHT)
        try:
            told = msgspec.json.decode(body, type=list[_Told])
            trades = [self._trade(one.id, one.price, one.qty, one.is_buyer_maker, one.time) for one in told]
        except (msgspec.MsgspecError, InputError) as exc:
            raise VenueUnavailable(f"trades of {self._market.id}: unreadable: {exc}") from exc
        return sorted(trades, key=lambda trade: int(trade.trade_id))

    async def _get(self, path: str, params: dict[str, int], weight: int, *, keyed: bool = False) -> bytes:
        connection = self._connection
        query = urlencode({"symbol": self._market.venue_symbol, **params})
        return await connection.query(
            f"{path} of {self._market.id}", lambda: connection.fetch("GET", path, query, keyed=keyed), weight=weight
        )


def line_urls(connection: BinanceConnection) -> list[str]:
    """Give the stream URL of each line: the exchange's own path, on its own host or on those of `feed_urls`."""
    own = connection.endpoints.streams
    return [own, *(_moved(own, base) if base else own for base in connection.settings.further_lines)]


def _moved(url: str, base: str) -> str:
    parts = urlsplit(base)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{urlsplit(url).path}"


def _number(data: bytes, key: bytes) -> int:
    """Read the number behind a key that stands near the front, without decoding the message; 0 where there is none."""
    at = data.find(key, 0, 256)
    if at < 0:
        return 0
    at += len(key)
    end = data.find(b",", at, at + 24)
    digits = data[at:end]
    return int(digits) if end > 0 and digits.isdigit() else 0


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("feed.snapshot_failed", error=repr(exc))
