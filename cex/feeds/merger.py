"""Several copies of one book, each whole by itself, made into one: for sources whose updates cannot be laid over one
another (every ccxt client keeps a book of its own).

    in order of the venue's number or time   a newer book wins, whoever brings it; older ones and copies are dropped
    without either                           one source leads; another takes over when it is lost, or silent for
                                             `stall_ns` while others speak

The merged book is lost only when every source has lost its own. Trades are told once by their id.

Pure: instants in, data out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from cex.feeds.data import Book, BookLost, Datum, Levels, PublicTrade

TRADES_KEPT: Final = 20_000
"""Trade ids that are remembered; a copy that comes later than so many others would pass for a new one."""


class Ordering(Enum):
    """What says which of two books of different sources is newer. `TIME` becomes `LEADER` at the first book without."""

    SEQUENCE = "sequence"
    TIME = "time"
    LEADER = "leader"


@dataclass(slots=True)
class _Source:
    book: Book | None = None
    """Its last; nothing while its book is lost."""
    behind_since_ns: int | None = None


class Merger:
    """See the module."""

    def __init__(self, sources: int, *, ordering: Ordering, stall_ns: int) -> None:
        self._sources = [_Source() for _ in range(sources)]
        self._ordering = ordering
        self._stall_ns = stall_ns
        self._merged: Book | None = None
        self._leader = 0
        self._sequence = 0
        self._trade_ids: dict[str, None] = {}

    @property
    def is_valid(self) -> bool:
        return self._merged is not None

    @property
    def carriers(self) -> int:
        """How many sources could carry the book alone."""
        return sum(source.book is not None for source in self._sources)

    @property
    def leader(self) -> int:
        """Who brought what was told last."""
        return self._leader

    def take(self, source: int, datum: Datum, now_ns: int) -> list[Datum]:
        """Take what one source tells; give what the merged feed tells."""
        if isinstance(datum, Book):
            return self._book(source, datum, now_ns)
        if isinstance(datum, BookLost):
            return self._lost(source, datum)
        if isinstance(datum, PublicTrade):
            return self._trade(source, datum)
        return [datum]

    def tick(self, now_ns: int) -> list[Datum]:
        """Let another source take over from a leader that has fallen silent."""
        if self._ordering is not Ordering.LEADER or self._leader not in self.stalled(now_ns):
            return []
        successors = [n for n, s in enumerate(self._sources) if s.book is not None and s.behind_since_ns is None]
        return self._follow(successors[0]) if successors else []

    def stalled(self, now_ns: int) -> list[int]:
        """Sources that have told nothing for `stall_ns` while another moved on."""
        return [
            number
            for number, source in enumerate(self._sources)
            if source.behind_since_ns is not None and now_ns - source.behind_since_ns >= self._stall_ns
        ]

    def _book(self, number: int, book: Book, now_ns: int) -> list[Datum]:
        if self._ordering is Ordering.TIME and not book.venue_ns:
            self._ordering = Ordering.LEADER
        source = self._sources[number]
        source.book = book
        self._mark(number, now_ns)
        merged = self._merged
        if merged is None or self._is_newer(number, book, merged, now_ns):
            return self._follow(number)
        return []

    def _is_newer(self, number: int, book: Book, merged: Book, now_ns: int) -> bool:
        if self._ordering is Ordering.LEADER:
            return number == self._leader or self._leader in self.stalled(now_ns)
        ours, theirs = self._key(merged), self._key(book)
        if theirs == ours:
            # Its own source may say more of the same instant; another only the same again.
            return number == self._leader or _levels(book) == _levels(merged)
        return theirs > ours

    def _key(self, book: Book) -> int:
        return book.sequence if self._ordering is Ordering.SEQUENCE else book.venue_ns

    def _follow(self, number: int) -> list[Datum]:
        """Tell the book of one source."""
        book = self._sources[number].book
        if book is None:
            return []
        self._leader = number
        if self._ordering is not Ordering.SEQUENCE:
            # Every client counts for itself.
            self._sequence += 1
            book = _numbered(book, self._sequence)
        self._merged = book
        return [book]

    def _lost(self, number: int, lost: BookLost) -> list[Datum]:
        source = self._sources[number]
        source.book, source.behind_since_ns = None, None
        if self._merged is None:
            return []
        others = [n for n, other in enumerate(self._sources) if other.book is not None]
        if not others:
            self._merged = None
            return [lost]
        if self._ordering is Ordering.LEADER and number == self._leader:
            return self._follow(others[0])
        return []

    def _trade(self, number: int, trade: PublicTrade) -> list[Datum]:
        if not trade.trade_id:
            return [trade] if number == self._leader else []
        if trade.trade_id in self._trade_ids:
            return []
        self._trade_ids[trade.trade_id] = None
        if len(self._trade_ids) > TRADES_KEPT:
            del self._trade_ids[next(iter(self._trade_ids))]
        return [trade]

    def _mark(self, number: int, now_ns: int) -> None:
        """Note who is behind, from when on: who shows something older, or where nothing says what is older, something
        else than who spoke last."""
        source = self._sources[number]
        source.behind_since_ns = None
        for other in self._sources:
            if other is source or other.book is None or source.book is None:
                continue
            if self._ordering is Ordering.LEADER:
                behind = other if _levels(other.book) != _levels(source.book) else None
            else:
                lead = self._key(source.book) - self._key(other.book)
                behind = other if lead > 0 else source if lead < 0 else None
            if behind is not None and behind.behind_since_ns is None:
                behind.behind_since_ns = now_ns


def _levels(book: Book) -> tuple[Levels, Levels]:
    return book.bids, book.asks


def _numbered(book: Book, sequence: int) -> Book:
    return Book(
        instrument=book.instrument,
        venue_ns=book.venue_ns,
        received_ns=book.received_ns,
        bids=book.bids,
        asks=book.asks,
        sequence=sequence,
        monotonic_ns=book.monotonic_ns,
    )
