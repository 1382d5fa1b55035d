"""Market data of any venue through ccxt.pro, for those without a native path.

ccxt hands out one living, mutable book of floats and reconnects without a word. So each update is copied at once onto
ticks and lots (a float's shortest text is the decimal text it was made from), and the owner tells us of every socket
that ccxt lost, which makes the book invalid until ccxt has loaded it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from cex.connection import Connection
from cex.errors import await_foreign, describe
from cex.feeds.data import Book, BookLost, Datum
from cex.feeds.rest_book import fetch_book, fetch_touch, levels_of
from cex.markets import Market
from cex.trades import trade_of
from domain import InputError, PlatformError

log = structlog.get_logger(__name__)

BACKOFF_S = (0.1, 5.0)


class CcxtFeed:
    """The book and the public trades of one instrument."""

    def __init__(self, connection: Connection, market: Market, emit: Callable[[Datum], None]) -> None:
        self.valid = asyncio.Event()
        self._connection = connection
        self._market = market
        self._emit = emit
        self._announced = False
        self._updates = 0
        self._last: Book | None = None
        self._doubts = 0

    @property
    def carriers(self) -> int:
        return int(self.valid.is_set())

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._books(), name=f"cex.books.{self._market.id}")
            if self._connection.exchange.has.get("watchTrades"):
                tasks.create_task(self._trades(), name=f"cex.trades.{self._market.id}")

    def socket_lost(self) -> None:
        """A socket beneath ccxt is gone; whichever it was, the book may have missed something."""
        self._invalidate("disconnected")

    async def restart(self) -> None:
        """Give up what there is, and begin with a new connection."""
        self._invalidate("given up")
        await self._forget()

    async def _books(self) -> None:
        exchange, delay_s = self._connection.exchange, BACKOFF_S[0]
        silence_s = self._connection.settings.stale_after_ms / 1000
        watch = exchange.watch_order_book if exchange.has.get("watchOrderBook") else self._poll_book
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    book = await await_foreign(watch(self._market.unified))
                self._take(book, self._connection.clock.monotonic_ns())
                delay_s = BACKOFF_S[0]
            except TimeoutError:
                await self._confirm()
            except InputError as exc:
                self._invalidate(str(exc))
                await self._forget()
            except Exception as exc:  # ccxt raises what its parsers stumble over, too.
                self._invalidate(" ".join(describe(exc)))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_S[1])

    async def _trades(self) -> None:
        exchange, delay_s = self._connection.exchange, BACKOFF_S[0]
        while True:
            try:
                for trade in await await_foreign(exchange.watch_trades(self._market.unified)):
                    self._emit(trade_of(self._market, trade, self._connection.clock.now_ns()))
                delay_s = BACKOFF_S[0]
            except Exception as exc:
                log.info("feed.trades_failed", instrument=self._market.id, error=" ".join(describe(exc)))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_S[1])

    def _take(self, book: Any, monotonic_ns: int) -> None:
        levels = self._connection.settings.depth_levels
        bids, asks = levels_of(self._market, book["bids"][:levels]), levels_of(self._market, book["asks"][:levels])
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise InputError(f"crossed: bid {bids[0][0]} >= ask {asks[0][0]} ticks")
        nonce = book.get("nonce")
        self._updates += 1
        clock = self._connection.clock
        self._last = Book(
            instrument=self._market.id,
            venue_ns=int(book.get("timestamp") or 0) * 1_000_000,
            received_ns=clock.now_ns(),
            bids=bids,
            asks=asks,
            sequence=int(nonce) if nonce is not None else self._updates,
            monotonic_ns=monotonic_ns,
        )
        self._announced = True
        self._doubts = 0
        self._emit(self._last)
        self.valid.set()

    def _invalidate(self, reason: str) -> None:
        self.valid.clear()
        if self._announced:
            self._announced = False
            log.warning("book.invalidated", instrument=self._market.id, reason=reason)
            now_ns = self._connection.clock.now_ns()
            self._emit(BookLost(instrument=self._market.id, received_ns=now_ns, reason=reason))

    async def _confirm(self) -> None:
        """Compare a silent book's touch with REST: tell it again if it stands, drop it if not."""
        try:
            touch = await fetch_touch(self._connection, self._market)
        except PlatformError as exc:
            self._invalidate(str(exc))
            return
        last = self._last
        if self._announced and last is not None and (last.bids[:1], last.asks[:1]) == touch:
            self._doubts = 0
            self._emit(last)
            return
        # What REST knows may be on the wire at this moment; the next silence decides.
        self._doubts += 1
        if self._doubts > 1:
            self._doubts = 0
            self._invalidate("stream is silent while REST moved on")
            await self._forget()

    async def _forget(self) -> None:
        """Make ccxt connect and load the book anew."""
        exchange = self._connection.exchange
        exchange.orderbooks.pop(self._market.unified, None)
        await exchange.close_ws_clients()

    async def _poll_book(self, _symbol: str) -> Any:
        """Venues without a book stream are polled."""
        await asyncio.sleep(1.0)
        return await fetch_book(self._connection, self._market)
