"""Stop orders of one market that wait beside the book until a trade reaches their price.

An index only: whatever it knows stands in the orders, so that it can be built again from them. For one trade, orders
with a fixed price come first, the nearest price first and the older order first at one price, as if the price had
passed through all of them; then trailing orders, the oldest first.

Trailing orders follow https://developers.binance.com/docs/binance-spot-api-docs/faqs/trailing-stop-faq
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

import capstan_native as native

from cex.sandbox.orders import Order

BIPS: Final = 10_000
_ID_MAX: Final = 1 << 63


class Triggers:
    """See the module."""

    def __init__(self) -> None:
        self._orders: dict[int, Order] = {}
        self._rising: list[tuple[int, int]] = []
        """(stop price, id) of what a price at or above triggers."""
        self._falling: list[tuple[int, int]] = []
        """(negated stop price, id) of what a price at or below triggers."""
        self._trailing: dict[int, Order] = {}

    def __bool__(self) -> bool:
        return bool(self._orders)

    def add(self, order: Order) -> None:
        self._orders[order.id] = order
        if order.trailing_bips:
            self._trailing[order.id] = order
        else:
            place, key = self._place(order)
            insort(place, key)

    def discard(self, order: Order) -> None:
        if self._orders.pop(order.id, None) is None:
            return
        if self._trailing.pop(order.id, None) is None:
            place, key = self._place(order)
            del place[bisect_left(place, key)]

    def reached(self, price: int, now_ms: int) -> tuple[list[Order], list[Order]]:
        """Take out and return what a trade at this price triggers, in the order it is to be placed; and what follows
        the market and moved with it.
        """
        triggered = [*self._take(self._rising, price), *self._take(self._falling, -price)]
        moved = []
        for order in self._trailing.values():
            best = order.trailing_best
            if _follows_to_its_end(order, price, now_ms):
                triggered.append(order)
            elif order.trailing_best != best:
                moved.append(order)
        for order in triggered:
            self._orders.pop(order.id, None)
            self._trailing.pop(order.id, None)
        return triggered, moved

    def _place(self, order: Order) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        if rises(order.type, order.side):
            return self._rising, (order.stop_price, order.id)
        return self._falling, (-order.stop_price, order.id)

    def _take(self, place: list[tuple[int, int]], upto: int) -> list[Order]:
        count = bisect_right(place, (upto, _ID_MAX))
        taken = [self._orders[id_] for _, id_ in place[:count]]
        del place[:count]
        return taken


def rises(type_: str, side: int) -> bool:
    """Whether a stop order's price is reached from below."""
    return type_.startswith("STOP_LOSS") == (side == native.BUY)


def is_reached(type_: str, side: int, stop_price: int, price: int) -> bool:
    return price >= stop_price if rises(type_, side) else price <= stop_price


def _follows_to_its_end(order: Order, price: int, now_ms: int) -> bool:
    """Let a trailing order see a trade; return whether it has turned against the order by as much as it allows."""
    if not order.trailing_since_ms:
        if not is_reached(order.type, order.side, order.stop_price, price):
            return False
        order.trailing_since_ms, order.trailing_best = now_ms, price
    if order.side == native.BUY:
        order.trailing_best = min(order.trailing_best, price)
        return price * BIPS >= order.trailing_best * (BIPS + order.trailing_bips)
    order.trailing_best = max(order.trailing_best, price)
    return price * BIPS <= order.trailing_best * (BIPS - order.trailing_bips)
