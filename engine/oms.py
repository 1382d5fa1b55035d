"""Every order of a run by the id the kernel gave it, and what the venues said of it: for status, reports and books.

The native kernel keeps orders of its own and decides by them; these follow, by the same reports and trades.
"""

from __future__ import annotations

from domain import Fill, InvariantError, Order, OrderState
from domain.events import OrderReported, PlaceOrder


class OrderManager:
    """Follows the orders of one run. Pure: reports in, changed orders out."""

    def __init__(self) -> None:
        self.epoch = 0
        self.orders: dict[str, Order] = {}
        self._open: dict[str, Order] = {}
        self._ending: dict[str, tuple[OrderState, int, str]] = {}

    def add(self, command: PlaceOrder, now_ns: int) -> Order:
        """Record an order before it is sent."""
        order = Order(
            client_order_id=command.client_order_id,
            strategy=command.strategy,
            instrument=command.instrument,
            side=command.side,
            type=command.type,
            time_in_force=command.time_in_force,
            price_ticks=command.price_ticks,
            qty_lots=command.qty_lots,
            sent_time_ns=now_ns,
        )
        if order.client_order_id in self.orders:
            raise InvariantError(f"order id {order.client_order_id} was given twice")
        self.orders[order.client_order_id] = self._open[order.client_order_id] = order
        return order

    def report(self, report: OrderReported) -> Order | None:
        """Apply a venue's word; return the order when it changed, None when nothing did or it is not ours."""
        order = self.orders.get(report.client_order_id)
        if order is None:
            return None
        state, reason = report.state, report.reason
        if report.venue_order_id:
            order.venue_order_id = report.venue_order_id
        if not order.state.is_open:
            # Its stream and its REST may name an end differently (expired here, cancelled or unknown there). The first
            # one stands: it holds no money, trades do, and those are counted whenever they come.
            return None
        if state is OrderState.REJECTED and order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
            # The venue had it and no longer knows it: it cannot trade any more.
            state, reason = OrderState.CANCELED, reason or "lost at the venue"
        filled = order.qty_lots if state is OrderState.FILLED else report.filled_lots or 0
        if not state.is_open and filled > order.filled_lots:
            # Sizes come from trades only, and some of these are still on their way: end when they have come.
            self._ending[order.client_order_id] = (state, filled, reason)
            return None
        changed = order.move_to(state, reason=reason)
        self._settle(order)
        return order if changed else None

    def end(self, client_order_id: str, state: OrderState, reason: str) -> None:
        """Take the kernel's word that an order is over."""
        order = self.orders[client_order_id]
        order.move_to(state, reason=reason)
        self._settle(order)

    def fill(self, fill: Fill) -> Order | None:
        """Apply a trade once; return its order, or None for a duplicate or a foreign one."""
        order = self.orders.get(fill.client_order_id)
        if order is None or not order.apply_fill(fill):
            return None
        ending = self._ending.get(order.client_order_id)
        if ending is not None and order.filled_lots >= ending[1]:
            order.move_to(ending[0], reason=ending[2])
        self._settle(order)
        return order

    def open_orders(self, strategy: str | None = None, instrument: str | None = None) -> list[Order]:
        """Orders the venue may still hold, oldest first."""
        return [
            order
            for order in self._open.values()
            if strategy in (None, order.strategy) and instrument in (None, order.instrument)
        ]

    def _settle(self, order: Order) -> None:
        if not order.state.is_open:
            self._open.pop(order.client_order_id, None)
            self._ending.pop(order.client_order_id, None)
