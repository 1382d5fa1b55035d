"""Trades at random, reproducibly: the same events give the same orders, so the journal rebuilds it."""

from __future__ import annotations

import random

from engine.sdk import BookView, Context, EventView, Strategy

LIVE_MAX = 24
"""Orders of its own making that may be open at once, beside the quotes."""
PER_TICK = 6
PAUSE_TICKS = 3
"""After an order that ended instead of resting: most likely nothing can be sent just now."""
OFFSET_MAX = 40
"""Ticks beyond the touch, inwards and outwards."""


class RandomTrader(Strategy):
    """Orders of every kind on the first instrument, quotes that move about on the second."""

    def __init__(self, seed: int = 1, lots_max: int = 60, strategy_id: str = "mix") -> None:
        super().__init__(strategy_id)
        self._random = random.Random(seed)
        self._lots_max = lots_max
        self._live: dict[int, bool] = {}
        """Open orders of its own making; whether it is one that should rest."""
        self._tick = 0
        self._quiet_until = 0

    def on_start(self, ctx: Context) -> None:
        self._places = [ctx.instrument(name) for name in ctx.instruments]

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._tick += 1
        if ctx.stopping or ctx.halted:
            return
        if self._tick >= self._quiet_until:
            self._place_some(ctx)
        self._cancel_some(ctx)
        if self._tick % 4 == 0:
            self._move_quotes(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._look(ctx, event.client_id)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._look(ctx, event.client_id)

    def on_stop(self, ctx: Context) -> None:
        for instrument in self._places:
            ctx.cancel_all(instrument)

    def _look(self, ctx: Context, client_id: int) -> None:
        order = ctx.order(client_id)
        if order is None or order.is_open or client_id not in self._live:
            return
        should_rest = self._live.pop(client_id)
        if should_rest and not order.filled and not order.is_cancelling:
            self._quiet_until = self._tick + PAUSE_TICKS

    def _place_some(self, ctx: Context) -> None:
        draw, instrument = self._random, self._places[0]
        book = ctx.book(instrument)
        for _ in range(PER_TICK):
            if len(self._live) >= LIVE_MAX or not book.is_valid:
                return
            side = self._side(ctx, instrument)
            near, far = (book.ask, book.bid) if side == 0 else (book.bid, book.ask)
            sign = 1 if side == 0 else -1
            size, kind, offset = draw.randint(20, self._lots_max), draw.random(), draw.randint(0, OFFSET_MAX)
            if kind < 0.25:
                made = ctx.place(instrument, side, near + sign * (offset - OFFSET_MAX // 2), size)
            elif kind < 0.45:
                made = ctx.place(instrument, side, near + sign * offset, size, time_in_force="ioc")
            elif kind < 0.55:
                made = ctx.place(instrument, side, near + sign * offset, size, time_in_force="fok")
            elif kind < 0.70:
                made = ctx.place(instrument, side, near + sign * 2 * OFFSET_MAX, size, order_type="market")
            elif kind < 0.90:
                made = ctx.place(instrument, side, far - sign * offset, size, order_type="limit_maker")
            else:
                made = ctx.place(instrument, side, far + sign * offset, size, order_type="limit_maker")
            if made is not None:
                self._live[made] = kind < 0.25 or kind >= 0.90

    def _cancel_some(self, ctx: Context) -> None:
        for client_id in list(self._live):
            if self._random.random() < 0.15:
                ctx.cancel(client_id)

    def _move_quotes(self, ctx: Context) -> None:
        if len(self._places) < 2:
            return
        draw, instrument = self._random, self._places[1]
        book = ctx.book(instrument)
        if not book.is_valid:
            return
        bids = [(self._beside(book, 0, level), draw.randint(20, self._lots_max)) for level in range(3)]
        asks = [(self._beside(book, 1, level), draw.randint(20, self._lots_max)) for level in range(3)]
        ctx.quote(instrument, bids, asks)

    def _beside(self, book: BookView, side: int, level: int) -> int:
        away = level * OFFSET_MAX + self._random.randint(0, OFFSET_MAX // 2)
        return book.bid - away if side == 0 else book.ask + away

    def _side(self, ctx: Context, instrument: int) -> int:
        """Draw a side, the one that leads home more often the further away it is."""
        lean = max(-0.4, min(0.4, ctx.position(instrument) / (100 * self._lots_max)))
        return 0 if self._random.random() > 0.5 + lean else 1
