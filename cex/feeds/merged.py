"""One instrument followed through several ccxt clients at once, as one feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from cex.ccxt_feed import CcxtFeed
from cex.connection import Connection
from cex.feeds.data import Datum
from cex.feeds.merger import Merger, Ordering
from cex.markets import Market

log = structlog.get_logger(__name__)

NUMBERED = frozenset({"binance", "binanceus"})
"""Exchanges whose books carry a number that is the same on every connection. Others go by time, where they tell one."""
WATCH_S = 0.1


class MergedFeed:
    """The book and the public trades of one instrument, from whichever client brings them first."""

    def __init__(self, connections: Sequence[Connection], market: Market, emit: Callable[[Datum], None]) -> None:
        first = connections[0]
        self.valid = asyncio.Event()
        self.feeds = [
            CcxtFeed(connection, market, partial(self._take, number)) for number, connection in enumerate(connections)
        ]
        self._market = market
        self._emit = emit
        self._clock = first.clock
        ordering = Ordering.SEQUENCE if first.settings.exchange in NUMBERED else Ordering.TIME
        self._merger = Merger(len(connections), ordering=ordering, stall_ns=first.settings.feed_stall_ms * 1_000_000)

    @property
    def carriers(self) -> int:
        """How many sources could carry the book alone."""
        return self._merger.carriers

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for feed in self.feeds:
                tasks.create_task(feed.run())
            tasks.create_task(self._watch(), name=f"cex.watch.{self._market.id}")

    def socket_lost(self, source: int = 0) -> None:
        """A socket beneath one of the clients is gone."""
        self.feeds[source].socket_lost()

    def _take(self, source: int, datum: Datum) -> None:
        self._tell(self._merger.take(source, datum, self._clock.monotonic_ns()))

    async def _watch(self) -> None:
        """Let a source that fell silent be followed no longer, and begin anew."""
        while True:
            await asyncio.sleep(WATCH_S)
            now_ns = self._clock.monotonic_ns()
            self._tell(self._merger.tick(now_ns))
            for number in self._merger.stalled(now_ns):
                log.warning("feed.source_stalled", instrument=self._market.id, source=number)
                await self.feeds[number].restart()

    def _tell(self, data: Sequence[Datum]) -> None:
        if self._merger.is_valid:
            self.valid.set()
        else:
            self.valid.clear()
        for datum in data:
            self._emit(datum)
