"""What is noted of a parent order while it is executed: what it will be compared with, and what it cost."""

from __future__ import annotations

from typing import ClassVar

from engine.execution.saved import Saved
from engine.records import EventFlag
from engine.sdk import BookView, EventView, Trades


class Tally(Saved):
    """Sums in ticks, lots and raw units. Nothing decides by them."""

    saved: ClassVar[tuple[str, ...]] = (
        "arrival", "mid", "value", "fills", "lots_maker", "fee_base_raw", "fee_quote_raw", "fee_other_raw",
        "tape_lots", "tape_value", "ahead", "behind",
    )  # fmt: skip

    def __init__(self) -> None:
        self.arrival = 0
        """Bid plus ask when it began: twice the mid in ticks."""
        self.mid = 0
        """The same, as last seen."""
        self.value = 0
        """Price times lots of its trades."""
        self.fills = self.lots_maker = 0
        self.fee_base_raw = self.fee_quote_raw = self.fee_other_raw = 0
        self.tape_lots = self.tape_value = 0
        """What the market traded meanwhile, and at what prices."""
        self.ahead = self.behind = 0
        """Lots that most were done beyond the schedule, and most were missing."""

    def look(self, book: BookView) -> None:
        """Note where the market is."""
        if book.is_valid:
            self.mid = book.bid + book.ask
            self.arrival = self.arrival or self.mid

    def add(self, fill: EventView) -> None:
        """Add a trade of the order's own."""
        self.value += fill.price * fill.size
        self.fills += 1
        self.lots_maker += fill.size if fill.is_maker else 0
        if fill.flags & EventFlag.FEE_BASE:
            self.fee_base_raw += fill.aux1
        elif fill.flags & EventFlag.FEE_OTHER:
            self.fee_other_raw += fill.aux1
        else:
            self.fee_quote_raw += fill.aux1

    def see(self, trades: Trades) -> None:
        """Add trades of the market."""
        self.tape_lots += int(trades["size"].sum())
        self.tape_value += int(trades["price"] @ trades["size"])

    def deviate(self, lots: int) -> None:
        """Note how far ahead (+) or behind (-) it is."""
        self.ahead, self.behind = max(self.ahead, lots), max(self.behind, -lots)
