"""An amount worked off by orders of one side, one order at a time.

    work(price, lots) ──> nothing open: place          ──> open ──> filled, ended by the venue, cancelled
                          open and as wanted: wait                          │
                          open and not as wanted: cancel, wait for its end <─┘ then place what is still wanted

An order's end is awaited before the next is placed, so no more than what is wanted can ever execute. What the venue or
the gate refuses is tried again, later each time. After a restart the venue holds nothing of ours: the order is found
ended and placed anew.
"""

from __future__ import annotations

from typing import ClassVar, Final

from engine.execution.saved import Saved
from engine.sdk import Context, EventView, Lasting, OpenOrder, OrderKind

BUY, SELL = 0, 1
RETRY_NS: Final = 250_000_000
RETRY_DOUBLINGS: Final = 5
"""After that many failures in a row it is tried every 8 s."""


class Leg(Saved):
    """See the module. Prices are ticks, sizes lots."""

    saved: ClassVar[tuple[str, ...]] = (
        "instrument",
        "side",
        "done",
        "value",
        "order",
        "placed_ns",
        "mine",
        "again_ns",
        "failures",
    )

    def __init__(self, side: int = BUY) -> None:
        self.instrument = 0
        self.side = side
        self.done = 0
        """Filled by all of its orders."""
        self.value = 0
        """Price times lots of what was filled."""
        self.order = 0
        """The one that may be open, 0 when there is none."""
        self.placed_ns = 0
        self.mine: list[int] = []
        """Every order it ever placed: a trade may be told after its order's end."""
        self.again_ns = 0
        self.failures = 0

    def open(self, ctx: Context) -> OpenOrder | None:
        """Return its order while the venue may hold it; note how the last one ended when it does not."""
        if not self.order:
            return None
        found = ctx.order(self.order)
        if found is not None and found.is_open:
            return found
        self.order = 0
        if found is not None and not found.filled and not found.is_cancelling:
            self._failed(ctx)
        return None

    def work(
        self,
        ctx: Context,
        price: int,
        lots: int,
        *,
        order_type: OrderKind = "limit",
        time_in_force: Lasting = "gtc",
    ) -> None:
        """Have `lots` open at `price`, and nothing else."""
        order = self.open(ctx)
        if order is None:
            self.place(ctx, price, lots, order_type=order_type, time_in_force=time_in_force)
        elif not order.is_cancelling and (order.price != price or order.size - order.filled != lots):
            ctx.cancel(self.order)

    def place(
        self, ctx: Context, price: int, lots: int, *, order_type: OrderKind, time_in_force: Lasting = "gtc"
    ) -> None:
        """Place an order where none is open, unless the last attempts failed just now."""
        if lots <= 0 or price <= 0 or ctx.now_ns < self.again_ns or self.open(ctx) is not None:
            return
        placed = ctx.place(self.instrument, self.side, price, lots, order_type=order_type, time_in_force=time_in_force)
        if placed is None:
            self._failed(ctx)
        else:
            self.order, self.placed_ns = placed, ctx.now_ns
            self.mine.append(placed)

    def withdraw(self, ctx: Context) -> bool:
        """Cancel what is open; return whether nothing is."""
        order = self.open(ctx)
        if order is not None and not order.is_cancelling:
            ctx.cancel(self.order)
        return order is None

    def owns(self, event: EventView) -> bool:
        """Whether a fill or a report is about one of its orders."""
        return event.client_id in self.mine

    def on_fill(self, event: EventView) -> bool:
        """Count a trade if it is one of its own; each is told once."""
        if not self.owns(event):
            return False
        self.done += event.size
        self.value += event.price * event.size
        self.failures = self.again_ns = 0
        return True

    def _failed(self, ctx: Context) -> None:
        self.again_ns = ctx.now_ns + (RETRY_NS << min(self.failures, RETRY_DOUBLINGS))
        self.failures += 1
