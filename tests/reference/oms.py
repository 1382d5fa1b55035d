"""Order management in plain Python: the oracle of the native kernel's.

It is the manager that traded before the native kernel, on integers and without its vocabulary: states as words, a set
of trades per order, lists walked from the front. No amends: what they add is tested by script.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

ASK_AFTER_NS: Final = 3_000_000_000
CANCEL_AGAIN_NS: Final = 2_000_000_000
OPEN: Final = ("pending", "unknown", "accepted", "partially_filled")
"""In the order in which an order moves through them."""
ENDS: Final = ("filled", "canceled", "expired", "rejected")


class Overfilled(Exception):
    """More was traded than the order is worth."""


@dataclass(slots=True)
class Order:
    id: int
    side: int
    price: int
    size: int
    rests: bool
    sent_ns: int
    state: str = "pending"
    filled: int = 0
    cancel_ns: int = 0
    asked_ns: int = 0
    ending: tuple[str, int] | None = None
    trades: set[int] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class Orders:
    """The orders of one run: told what venues say, asked what to do about it."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}

    def place(self, order: Order) -> None:
        self.orders[order.id] = order

    def report(self, order_id: int, state: str, filled: int | None) -> None:
        """Take a venue's word. Late, repeated and contradicting words change nothing; the first end stands."""
        order = self.orders[order_id]
        if not order.is_open:
            return
        if state == "rejected" and order.state in ("accepted", "partially_filled"):
            state = "canceled"  # The venue had it and no longer knows it.
        if state in ENDS:
            told = order.size if state == "filled" and filled is None else filled or 0
            if told > order.filled:
                order.ending = (state, told)  # Its trades are still on their way.
            else:
                self._end(order, state)
        elif OPEN.index(state) > OPEN.index(order.state):
            order.state = state

    def fill(self, order_id: int, trade: int, lots: int) -> bool:
        """Count a trade once, in whatever state; return whether it was new."""
        order = self.orders[order_id]
        if trade in order.trades:
            return False
        if order.filled + lots > order.size:
            raise Overfilled(f"order {order_id:#x}: {lots} lots exceed {order.size - order.filled}")
        order.trades.add(trade)
        order.filled += lots
        if order.filled == order.size:
            self._end(order, "filled")
        elif order.is_open:
            if order.ending is not None and order.filled >= order.ending[1]:
                self._end(order, order.ending[0])
            else:
                order.state = "partially_filled"
        return True

    def cancel(self, order_id: int, now_ns: int) -> bool:
        """Return whether a cancel goes out."""
        order = self.orders[order_id]
        is_asked = order.cancel_ns != 0 and now_ns - order.cancel_ns < CANCEL_AGAIN_NS
        if not order.is_open or is_asked:
            return False
        order.cancel_ns = now_ns
        return True

    def timer(self, now_ns: int) -> Iterator[tuple[str, int]]:
        """What is overdue: questions, and cancels that ended nothing."""
        for order in self.orders.values():
            if not order.is_open:
                continue
            is_known = order.state in ("accepted", "partially_filled")
            if not is_known or not order.rests or order.ending is not None:
                since = order.asked_ns or order.sent_ns
                if order.state == "unknown" and not order.asked_ns:
                    since = now_ns - ASK_AFTER_NS
                if now_ns - since >= ASK_AFTER_NS:
                    order.asked_ns = now_ns
                    yield "ask", order.id
            if order.cancel_ns and is_known and now_ns - order.cancel_ns >= CANCEL_AGAIN_NS:
                order.cancel_ns = now_ns
                yield "cancel", order.id

    def _end(self, order: Order, state: str) -> None:
        order.state, order.ending = state, None
