"""What the kernel sees of the markets: books by instrument, replicas by pool, marks by asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from dex import PoolReplica
from domain import Asset, Instrument
from domain.events import BookChanged

Levels = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Book:
    """The best levels of one exchange book, in ticks and lots."""

    instrument: Instrument
    bids: Levels = ()
    asks: Levels = ()
    valid: bool = False
    changed_ns: int = 0
    received_ns: int = 0

    def apply(self, event: BookChanged) -> None:
        self.bids, self.asks = event.bids, event.asks
        self.valid = bool(self.bids and self.asks)
        self.changed_ns, self.received_ns = event.time_ns, event.received_ns

    def invalidate(self) -> None:
        self.valid = False

    @property
    def mid_ticks(self) -> float:
        """Half way between the touches; ask only for a valid book."""
        return (self.bids[0][0] + self.asks[0][0]) / 2

    @property
    def mid(self) -> float:
        """The mid in quote units per base unit, for models and marks."""
        return self.mid_ticks * float(self.instrument.tick_size)


@dataclass(frozen=True, slots=True)
class PoolMarket:
    """A pool the engine may trade: its two assets, its fee, and the replica that quotes it."""

    id: str
    token0: Asset
    token1: Asset
    fee_pips: int
    replica: PoolReplica

    def mid(self, base_id: str) -> float:
        """Price of one whole base token in whole quote tokens at the margin, fee aside; for models and plots."""
        whole = self.replica.mid_price_raw() * Fraction(self.token0.unit, self.token1.unit)
        return float(whole if base_id == self.token0.id else 1 / whole)

    def other(self, asset_id: str) -> Asset:
        return self.token1 if asset_id == self.token0.id else self.token0


@dataclass(slots=True)
class Markets:
    """Everything quoted, by id."""

    instruments: Mapping[str, Instrument]
    pools: Mapping[str, PoolMarket]
    books: dict[str, Book] = field(init=False)

    def __post_init__(self) -> None:
        self.books = {name: Book(instrument) for name, instrument in self.instruments.items()}

    def marks(self, sources: Mapping[str, str | None], last: Mapping[str, float]) -> dict[str, float]:
        """Price of each economic asset in the unit of account: the mid of its instrument, else the last known, else 0.

        A book that is invalid keeps its last mid: results do not jump because a socket dropped.
        """
        marks = {}
        for symbol, instrument_id in sources.items():
            if instrument_id is None:
                marks[symbol] = 1.0
            else:
                book = self.books.get(instrument_id)
                marks[symbol] = book.mid if book is not None and book.valid else last.get(symbol, 0.0)
        return marks
