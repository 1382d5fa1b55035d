"""One instrument followed in a venue's own dialect, its book compared with the venue's checksum at every message.

    line 0 ── dialect, book ─┐
    line 1 ── dialect, book ─┴─> Merger ──> told
       └── checksum, gap, crossed, unreadable: that line's book is lost, and the line is opened anew

Each line keeps a whole book of its own, so that what one of them got wrong reaches no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

import msgspec
import structlog

from cex.connection import Connection
from cex.feeds.data import Book, BookLost, Datum
from cex.feeds.dialects import Arrival, Dialect, stream_url
from cex.feeds.line import Line
from cex.feeds.merger import Merger, Ordering
from cex.feeds.rest_book import fetch_touch
from cex.markets import Market
from cex.urls import rewrite
from domain import InputError, PlatformError, VenueUnavailable

log = structlog.get_logger(__name__)

WATCH_S = 0.1


class CheckedFeed:
    """The book and the public trades of one instrument of a venue in `DIALECTS`."""

    def __init__(
        self,
        connection: Connection,
        market: Market,
        emit: Callable[[Datum], None],
        *,
        dialect: Callable[[Market, int], Dialect],
    ) -> None:
        settings = connection.settings
        self.valid = asyncio.Event()
        self._connection = connection
        self._market = market
        self._emit = emit
        self._clock = connection.clock
        self._merger = Merger(settings.lines, ordering=Ordering.TIME, stall_ns=settings.feed_stall_ms * 1_000_000)
        self._last: Book | None = None
        self._told_ns = 0
        self._doubts = 0
        epochs = count()
        self._sources = [
            _Source(self, number, lambda: dialect(market, settings.depth_levels)) for number in range(settings.lines)
        ]
        self.lines = [
            Line(
                connection,
                name=f"{market.id}.{source.number}",
                url=url,
                opening=source.dialect.opening,
                ping=source.dialect.ping,
                epochs=epochs,
                owner=source,
                on_silence=_is_dead,
            )
            for source, url in zip(self._sources, _urls(connection), strict=True)
        ]

    @property
    def carriers(self) -> int:
        """How many lines could carry the book alone."""
        return self._merger.carriers

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for line in self.lines:
                tasks.create_task(line.run(), name=f"cex.line.{line.name}")
            tasks.create_task(self._watch(), name=f"cex.watch.{self._market.id}")

    def take(self, number: int, data: Sequence[Datum], now_ns: int) -> None:
        """Take what one line read."""
        for datum in data:
            if isinstance(datum, Book):
                self.lines[number].failures = 0
            self._tell(self._merger.take(number, datum, now_ns))

    def lose(self, number: int, reason: str) -> None:
        """One line's book is lost."""
        lost = BookLost(instrument=self._market.id, received_ns=self._clock.now_ns(), reason=reason)
        self._tell(self._merger.take(number, lost, self._clock.monotonic_ns()))

    def arrival(self, received_ns: int) -> Arrival:
        return Arrival(self._clock.now_ns(), received_ns)

    def _tell(self, data: Sequence[Datum]) -> None:
        for datum in data:
            if isinstance(datum, Book):
                self._last, self._told_ns, self._doubts = datum, self._clock.monotonic_ns(), 0
                self.valid.set()
            elif isinstance(datum, BookLost):
                self._last = None
                self.valid.clear()
                log.warning("book.invalidated", instrument=self._market.id, reason=datum.reason)
            self._emit(datum)

    async def _watch(self) -> None:
        """Open anew what fell silent while another line speaks; compare a silent book with REST."""
        silence_ns = self._connection.settings.stale_after_ms * 1_000_000
        while True:
            await asyncio.sleep(WATCH_S)
            now_ns = self._clock.monotonic_ns()
            self._tell(self._merger.tick(now_ns))
            for number in self._merger.stalled(now_ns):
                log.warning("feed.line_stalled", line=self.lines[number].name)
                self.lines[number].abandon()
            if self._last is not None and now_ns - self._told_ns >= silence_ns:
                await self._confirm(self._last)

    async def _confirm(self, last: Book) -> None:
        """Compare a silent book's touch with REST: tell it again if it stands, open all lines anew if not."""
        try:
            touch = await fetch_touch(self._connection, self._market)
        except PlatformError as exc:
            log.warning("feed.not_confirmed", instrument=self._market.id, error=str(exc))
            self._told_ns = self._clock.monotonic_ns()
            return
        if self._last is not last:
            return  # It spoke meanwhile.
        if (last.bids[:1], last.asks[:1]) == touch:
            self._tell([last])
            return
        # What REST knows may be on the wire at this moment; the next silence decides.
        self._told_ns = self._clock.monotonic_ns()
        self._doubts += 1
        if self._doubts > 1:
            self._doubts = 0
            for number, line in enumerate(self.lines):
                self.lose(number, "stream is silent while REST moved on")
                line.abandon()


class _Source:
    """Owns one line and the dialect of its present connection."""

    def __init__(self, feed: CheckedFeed, number: int, make: Callable[[], Dialect]) -> None:
        self.number = number
        self.dialect = make()
        self._feed = feed
        self._make = make

    def line_message(self, _epoch: int, data: bytes, received_ns: int) -> None:
        try:
            told = self.dialect.receive(data, self._feed.arrival(received_ns))
        except (msgspec.MsgspecError, InputError, LookupError, ValueError) as exc:
            raise VenueUnavailable(f"unreadable: {exc}: {data[:200]!r}") from exc
        self._feed.take(self.number, told, received_ns)

    def line_down(self, _epoch: int, reason: str) -> None:
        self.dialect = self._make()
        self._feed.lose(self.number, reason)


async def _is_dead() -> None:
    """Nothing came, not even answers to pings."""
    raise VenueUnavailable("nothing came within stale_after_ms")


def _urls(connection: Connection) -> list[str]:
    """Give each line's URL: the venue's public streams, on its own host or on those of `feed_urls`."""
    settings = connection.settings
    own = stream_url(settings.exchange, connection.exchange.urls["api"])
    return [own, *(str(rewrite(own, base)) if base else own for base in settings.further_lines)]
