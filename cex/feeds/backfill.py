"""Public trades of venues that do not number them one by one: each told once, and those of an outage asked of REST.

Whenever the book is there again after it was lost, what was traded since the last trade is asked for; what is known by
its id is dropped. Trades of the outage come after those that the stream brought meanwhile: their `venue_ns` says when
they were. Trades without an id are passed on as they come, and nothing is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from cex.connection import Connection
from cex.errors import reading
from cex.feeds.data import Book, BookLost, Datum, PublicTrade, TradesMissing
from cex.markets import Market
from cex.trades import trade_of
from domain import PlatformError

log = structlog.get_logger(__name__)

KEPT: Final = 20_000
PAGE: Final = 1_000
PAGE_MIN: Final = 50
"""No venue's page is full with fewer; some give less than they are asked for (60, 100)."""
PAGES_MAX: Final = 200
ATTEMPTS: Final = 4
BACKOFF_S: Final = 0.25
_MS: Final = 1_000_000

_SINGLE_TRADES: Final = {
    "binance": "publicGetTrades",
    "binanceus": "publicGetTrades",
    "binanceusdm": "fapiPublicGetTrades",
    "binancecoinm": "dapiPublicGetTrades",
}

_JOINED_IN_STREAM: Final = frozenset({"okx", "okxus", "myokx"})
"""Their `trades` channel joins the trades of one taker at one price under the last one's id, their REST tells each:
what is known by its id would be told again in parts."""

Fetch = Callable[[int], Awaitable[Sequence[PublicTrade]]]
"""Asks for public trades from an instant (ns) on."""


class TradeGuard:
    """Stands between a feed and whoever listens to it; `run` beside the feed."""

    def __init__(self, instrument: str, fetch: Fetch, emit: Callable[[Datum], None]) -> None:
        self._instrument = instrument
        self._fetch = fetch
        self._emit = emit
        self._ids: dict[str, None] = {}
        self._last_ns = 0
        self._since_ns: int | None = None
        """The last trade before the outages that are not filled yet."""
        self._was_lost = False
        self._outage = asyncio.Event()

    def take(self, datum: Datum) -> None:
        """Take what the feed tells."""
        if isinstance(datum, PublicTrade):
            self._trade(datum)
            return
        if isinstance(datum, BookLost):
            self._was_lost = True
            if self._since_ns is None and self._last_ns:
                self._since_ns = self._last_ns
        elif isinstance(datum, Book) and self._was_lost:
            self._was_lost = False
            self._outage.set()
        self._emit(datum)

    async def run(self) -> None:
        """Fill the hole after each outage, until cancelled."""
        while True:
            await self._outage.wait()
            self._outage.clear()
            since_ns, self._since_ns = self._since_ns, None
            if since_ns is not None:
                await self._fill(since_ns)

    async def _fill(self, since_ns: int) -> None:
        """Ask, and again from the newest trade on while pages are full and end with news."""
        found = 0
        for _ in range(PAGES_MAX):
            if (told := await self._ask(since_ns)) is None:
                self._missing("REST did not tell what was traded during an outage")
                return
            if not any(trade.trade_id in self._ids for trade in told):
                # Not even the last one that we know: REST does not reach back, or has other ids. Told blindly, its
                # trades might be counted twice.
                self._missing("REST tells none of the trades known before an outage")
                return
            fresh = [trade for trade in told if trade.trade_id and trade.trade_id not in self._ids]
            for trade in fresh:
                self._trade(trade)
            found += len(fresh)
            # One that begins earlier than it was asked to is of the newest trades, whatever is asked.
            is_newest = told[0].venue_ns // _MS < since_ns // _MS
            if is_newest or len(told) < PAGE_MIN or not fresh or fresh[-1] is not told[-1]:
                log.info("trades.filled", instrument=self._instrument, found=found)
                return
            since_ns = told[-1].venue_ns
        self._missing(f"more than {PAGES_MAX} pages were traded during an outage")

    async def _ask(self, since_ns: int) -> list[PublicTrade] | None:
        """Ask for trades from an instant on, oldest first; None when it cannot be had."""
        for attempt in range(ATTEMPTS):
            try:
                return sorted(await self._fetch(since_ns), key=lambda trade: trade.venue_ns)
            except PlatformError as exc:
                log.warning("trades.not_fetched", instrument=self._instrument, error=str(exc))
                await asyncio.sleep(BACKOFF_S * 2**attempt)
        return None

    def _trade(self, trade: PublicTrade) -> None:
        if trade.trade_id:
            if trade.trade_id in self._ids:
                return
            self._ids[trade.trade_id] = None
            if len(self._ids) > KEPT:
                del self._ids[next(iter(self._ids))]
            self._last_ns = max(self._last_ns, trade.venue_ns)
        self._emit(trade)

    def _missing(self, reason: str) -> None:
        log.warning("trades.missing", instrument=self._instrument, reason=reason)
        self._emit(TradesMissing(instrument=self._instrument, reason=reason))


def rest_trades(connection: Connection, market: Market) -> Fetch:
    """Ask a venue by ccxt; nothing where it tells no public trades, or others than its stream does."""

    async def fetch(since_ns: int) -> Sequence[PublicTrade]:
        exchange, what = connection.exchange, f"trades of {market.id}"
        if exchange.id in _JOINED_IN_STREAM or not exchange.has.get("fetchTrades"):
            return ()
        # Binance's other answer has aggregated trades, with ids of their own.
        params = {"fetchTradesMethod": _SINGLE_TRADES[exchange.id]} if exchange.id in _SINGLE_TRADES else {}
        rows = await connection.query(
            what, lambda: exchange.fetch_trades(market.unified, since_ns // _MS, PAGE, params)
        )
        with reading(what):
            return [trade_of(market, row, connection.clock.now_ns()) for row in rows]

    return fetch
