"""A strategy of one's own: follows trades that lean to one side, and holds for a while."""

from __future__ import annotations

import numpy as np

from engine.sdk import BookView, Context, EventView, Strategy, Trades

BUY, SELL = 0, 1
HOLD_NS = 5_000_000_000


class Momentum(Strategy):
    """Takes `size` lots in the direction of the last second's trades when they lean far enough.

    Args:
        instrument: Its name in the configuration.
        size: Lots of each order.
        threshold: How many times as much must have traded on one side as on the other.
    """

    trades_interval_ns = 1_000_000_000
    saved = ("lean",)

    def __init__(self, *, instrument: str, size: int, threshold: float) -> None:
        super().__init__("momentum")
        self.instruments = (instrument,)
        self.size = size
        self.threshold = threshold
        self.lean = 0

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        bought = int(trades["size"][trades["side"] == BUY].sum())
        sold = int(np.sum(trades["size"])) - bought
        self.lean = int(bought > self.threshold * sold) - int(sold > self.threshold * bought)
        book = ctx.book(int(trades["instrument"][0]))
        if self.lean and book.is_valid and not ctx.stopping and ctx.position(book.instrument) == 0:
            self._take(ctx, book, BUY if self.lean > 0 else SELL, self.size)
            ctx.timer(ctx.now_ns + HOLD_NS)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        book = ctx.book(ctx.instrument(self.instruments[0]))
        position = ctx.position(book.instrument)
        if event.aux0 and position and book.is_valid:
            self._take(ctx, book, SELL if position > 0 else BUY, abs(position))

    def _take(self, ctx: Context, book: BookView, side: int, size: int) -> None:
        ctx.take(book.instrument, side, book.ask + 2 if side == BUY else book.bid - 2, size)
