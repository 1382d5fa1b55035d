"""What a dialect is, and what all of them do with a book that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cex.feeds.checksums import TextLevels
from cex.feeds.data import Book, Datum
from cex.feeds.text_book import TextBook
from cex.markets import Market
from domain import VenueUnavailable


class Resync(VenueUnavailable):
    """What was received does not continue what is known."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a message came: UTC, and by the clock that only measures distances."""

    received_ns: int
    monotonic_ns: int


class Dialect(Protocol):
    """One connection's reader. `opening` is sent first, `ping` now and then."""

    opening: tuple[str, ...]
    ping: str

    def receive(self, data: bytes, arrival: Arrival) -> Sequence[Datum]:
        """Read one message.

        Raises:
            Resync: It does not continue what is known.
            VenueUnavailable: The venue refuses the subscription.
            msgspec.MsgspecError: It is not what the venue documents.
            InputError: A number that is none, or off the grid.
        """
        ...


@dataclass(slots=True)
class BookKeeper:
    """A book, and its checks before it is told."""

    market: Market
    levels: int
    checksum: Callable[[TextLevels, TextLevels], int]
    checksum_levels: int
    book: TextBook
    sequence: int = 0

    def check(self, expected: int) -> None:
        """Compare with the venue's checksum."""
        bids, asks = (self.book.texts(is_bid=is_bid, levels=self.checksum_levels) for is_bid in (True, False))
        found = self.checksum(bids, asks)
        if found != expected:
            raise Resync(f"checksum of {self.market.id}: expected {expected}, found {found}")

    @property
    def is_crossed(self) -> bool:
        bids, asks = (self.book.top(is_bid=is_bid, levels=1) for is_bid in (True, False))
        return bool(bids and asks and bids[0][0] >= asks[0][0])

    def tell(self, arrival: Arrival, *, venue_ns: int = 0, sequence: int | None = None) -> Book:
        """Give the book as it is now."""
        self.sequence = self.sequence + 1 if sequence is None else sequence
        if self.is_crossed:
            raise Resync(f"{self.market.id} is crossed")
        bids, asks = (self.book.top(is_bid=is_bid, levels=self.levels) for is_bid in (True, False))
        return Book(
            instrument=self.market.id,
            venue_ns=venue_ns,
            received_ns=arrival.received_ns,
            bids=bids,
            asks=asks,
            sequence=self.sequence,
            monotonic_ns=arrival.monotonic_ns,
        )
