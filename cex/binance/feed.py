"""Market data of Binance-protocol venues without ccxt: socket bytes go straight into the Rust book.

    connect, SUBSCRIBE ──> diffs are kept by the book ──> REST snapshot ──> VALID ──> BookChanged per diff
          ^                                                   ^                │
          │ socket lost: BookInvalidated, back-off            └── gap, crossed, unreadable: BookInvalidated
          └── silent for `stale_after_ms` while REST has moved on

One connection per instrument, so that one slow or broken stream touches no other. A silent stream is compared with
REST: a quiet market is confirmed (the same book is told again, with a new time), a dead one is reconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog

from cex.binance.connection import BinanceConnection
from cex.binance.messages import Trade
from cex.markets import Market
from cex.numbers import to_decimal
from domain import InputError, VenueUnavailable
from domain.events import BookChanged, BookInvalidated, Event, TradePrinted

log = structlog.get_logger(__name__)

SNAPSHOT_LEVELS = 1_000
SNAPSHOT_WEIGHT = 50
HEARTBEAT_S = 10.0
"""aiohttp pings this often and gives the connection up when no pong comes within half of it."""
BACKOFF_S = (0.05, 5.0)
"""First and longest wait before connecting or asking for a snapshot again."""


class _Wrapped(msgspec.Struct):
    data: Trade


class _Top(msgspec.Struct):
    last_update_id: int = msgspec.field(name="lastUpdateId")


class BinanceFeed:
    """The book and the public trades of one instrument."""

    def __init__(self, connection: BinanceConnection, market: Market, emit: Callable[[Event], None]) -> None:
        from capstan_native import L2Book

        instrument = market.instrument
        self.valid = asyncio.Event()
        self._connection = connection
        self._market = market
        self._emit = emit
        self._clock = connection.clock
        self._settings = connection.settings
        self._book = L2Book(f"{instrument.tick_size:f}", f"{instrument.lot_size:f}", market.venue_symbol)
        self._trade = msgspec.json.Decoder(Trade).decode
        self._wrapped = msgspec.json.Decoder(_Wrapped).decode
        self._announced = False
        self._snapshots: asyncio.Task[None] | None = None
        self._received_ns = 0
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except (aiohttp.ClientError, OSError, TimeoutError, VenueUnavailable, msgspec.MsgspecError) as exc:
                self._invalidate(f"{type(exc).__name__}: {exc}")
            delay_s = min(BACKOFF_S[0] * 2**self._failures, BACKOFF_S[1])
            self._failures = min(self._failures + 1, 10)
            log.info("feed.reconnecting", instrument=self._market.id, delay_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _follow(self) -> None:
        """Live through one connection."""
        url = self._connection.endpoints.streams
        name = self._market.venue_symbol.lower()
        async with asyncio.timeout(self._connection.timeout_s):
            socket = await self._connection.session.ws_connect(
                url,
                heartbeat=HEARTBEAT_S,
                max_msg_size=16 * 2**20,
                decode_text=False,
                # A peer that is gone does not answer a close either.
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                await socket.send_json(
                    {"method": "SUBSCRIBE", "params": [f"{name}@depth@100ms", f"{name}@trade"], "id": 1}
                )
            await self._read(socket)
        finally:
            if self._snapshots is not None:
                self._snapshots.cancel()
                self._snapshots = None
            self._invalidate("disconnected")
            await socket.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        silence_s = self._settings.stale_after_ms / 1000
        receive, monotonic_ns = socket.receive, self._clock.monotonic_ns
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await receive()
            except TimeoutError:
                await self._confirm(silence_s)
                continue
            received_ns = monotonic_ns()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise VenueUnavailable(f"stream ended: {message.type.name} {socket.close_code}")
            self._take(message.data, received_ns)

    def _take(self, data: bytes, received_ns: int) -> None:
        # The event's name stands at the front, also when wrapped; subscription answers have none.
        head = data[:96]
        if b'"depthUpdate"' in head:
            self._received_ns = received_ns
            was_valid = self._book.is_valid
            try:
                changed = self._book.apply_diff(data)
            except ValueError as exc:
                self._book.invalidate(str(exc))
                changed = False
            if changed and self._book.is_valid:
                self._tell()
            elif was_valid and not self._book.is_valid:
                self._invalidate(self._book.stale_reason or "stale")
                self._ask_for_snapshot()
        elif b'"trade"' in head:
            self._take_trade(data)
        elif b'"result"' in head:
            # Subscribed: every diff after the snapshot we ask for now will reach us.
            self._ask_for_snapshot()
        elif b'"error"' in head:
            raise VenueUnavailable(f"{self._market.id}: subscription refused: {data[:200]!r}")

    def _take_trade(self, data: bytes) -> None:
        instrument = self._market.instrument
        try:
            is_wrapped = b'"data"' in data[:96]
            trade = self._wrapped(data).data if is_wrapped else self._trade(data)
            event = TradePrinted(
                time_ns=0,
                instrument=self._market.id,
                price_ticks=instrument.ticks(to_decimal(trade.price)),
                qty_lots=instrument.lots(to_decimal(trade.qty)),
                is_buyer_maker=trade.is_buyer_maker,
            )
        except (msgspec.MsgspecError, InputError) as exc:
            log.warning("feed.trade_unreadable", instrument=self._market.id, error=str(exc))
            return
        self._emit(event)

    def _tell(self) -> None:
        bids, asks = self._book.top(self._settings.depth_levels)
        self._announced = True
        self._failures = 0
        self._emit(
            BookChanged(
                time_ns=0,
                instrument=self._market.id,
                bids=tuple(bids),
                asks=tuple(asks),
                update_id=self._book.last_update_id,
                received_ns=self._received_ns,
            )
        )
        self.valid.set()

    def _invalidate(self, reason: str) -> None:
        self._book.invalidate(reason)
        self.valid.clear()
        if self._announced:
            self._announced = False
            log.warning("book.invalidated", instrument=self._market.id, reason=reason)
            self._emit(BookInvalidated(time_ns=0, instrument=self._market.id, reason=reason))

    # --- REST

    def _ask_for_snapshot(self) -> None:
        if self._snapshots is None or self._snapshots.done():
            self._snapshots = asyncio.create_task(self._load(), name=f"cex.snapshot.{self._market.id}")
            self._snapshots.add_done_callback(_report_failure)

    async def _load(self) -> None:
        """Fetch snapshots until one continues into the diffs that were kept."""
        delay_s = BACKOFF_S[0]
        while True:
            try:
                body = await self._depth(SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT)
                arrived_ns = self._clock.monotonic_ns()
                if self._book.apply_snapshot(body):
                    self._received_ns = arrived_ns
                    self._tell()
                    return
            except (VenueUnavailable, ValueError) as exc:
                log.warning("feed.no_snapshot", instrument=self._market.id, error=str(exc), retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_S[1])

    async def _confirm(self, silence_s: float) -> None:
        """Ask REST whether the silence is the market's or the stream's."""
        if not self._book.is_valid:
            return  # A snapshot is on its way.
        theirs = msgspec.json.decode(await self._depth(5, 5), type=_Top).last_update_id
        if theirs > self._book.last_update_id:
            # What REST knows may be on the wire at this moment; the next silence decides.
            if self._received_ns < self._clock.monotonic_ns() - 2 * silence_s * 1e9:
                raise VenueUnavailable(f"stream is silent at update {self._book.last_update_id}, REST is at {theirs}")
        elif self._book.is_valid:
            self._tell()

    async def _depth(self, levels: int, weight: int) -> bytes:
        connection = self._connection
        query = urlencode({"symbol": self._market.venue_symbol, "limit": levels})
        return await connection.query(
            f"depth of {self._market.id}", lambda: connection.fetch("GET", "depth", query), weight=weight
        )


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("feed.snapshot_failed", error=repr(exc))
