"""A plain two-sided quote, one order a side at a fixed distance from the touch: the yardstick of the benches.

It looks at the first message of each interval of event time, quotes the side that does not add to a full position, and
withdraws while the book is stale. `native/engine/src/strategies/quoting.rs` decides the same.
"""

from __future__ import annotations

from engine.sdk import BookView, Context, Quotes, Strategy

NOTHING: Quotes = ()


class Quoting(Strategy):
    """See the module. Sizes and `position_max` in lots, `behind` in ticks behind the touch."""

    def __init__(
        self,
        strategy_id: str = "quoting",
        *,
        size: int,
        position_max: int,
        behind: int = 1,
        interval_ms: float = 100,
        instrument: str = "",
    ) -> None:
        super().__init__(strategy_id)
        self.instruments = (instrument,) if instrument else ()
        self.book_interval_ns = round(interval_ms * 1_000_000)
        self._size = size
        self._position_max = position_max
        self._behind = behind

    def on_book(self, ctx: Context, book: BookView) -> None:
        instrument, bid = book.instrument, book.bid
        if not bid:
            ctx.quote(instrument, NOTHING, NOTHING)
            return
        position = ctx.position(instrument)
        bids = ((bid - self._behind, self._size),) if position < self._position_max else NOTHING
        asks = ((book.ask + self._behind, self._size),) if position > -self._position_max else NOTHING
        ctx.quote(instrument, bids, asks)
