"""Iceberg: a large order of which the market sees a small part at a time.

The part rests post-only at a fixed price or at the own touch; when it is filled the next is placed, at the end of the
queue like everybody's. Venues' own iceberg orders keep the hidden part at the venue; this one keeps it here, where it
works at any venue and nobody knows of it.
"""

from __future__ import annotations

from engine.execution.leg import BUY
from engine.execution.paced import ParentOrder
from engine.sdk import BookView, Context


class Iceberg(ParentOrder):
    """See the module. `child_max` is what is shown."""

    def __init__(self, side: int, *, follows: bool, reprice_ns: int, duration_ns: int) -> None:
        """Make one.

        Args:
            side: 0 buys, 1 sells.
            follows: Rest at the own touch, within the limit; otherwise at the limit, if there is one.
            reprice_ns: How long a part rests at least before it follows.
            duration_ns: Given up after this long; 0: never.
        """
        super().__init__(side)
        self._follows, self._reprice_ns, self._duration_ns = follows, reprice_ns, duration_ns

    def is_over(self, ctx: Context) -> bool:
        return self._duration_ns > 0 and ctx.now_ns >= self.begun_ns + self._duration_ns

    def act(self, ctx: Context, book: BookView) -> None:
        if self._follows or not self.limit:
            price = self.own_touch(book)
        else:  # At its limit, wherever the touch is, but without taking.
            price = min(self.limit, book.ask - 1) if self.side == BUY else max(self.limit, book.bid + 1)
        self.rest(ctx, price, self.total - self.done, reprice_ns=self._reprice_ns)
