"""Order management of the plain Python kernel: ids by name, and what is to be asked about."""

from __future__ import annotations

from collections.abc import Iterable

from domain import ClientOrderId, Order, OrderState, TimeInForce
from engine.oms import OrderManager as Followed

ASK_AFTER_NS = 3_000_000_000
"""An order without an answer is asked about after this long, and again every so long."""


class OrderManager(Followed):
    """Gives ids and remembers what was asked about, on top of following."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        self._sequence = 0
        self._asked_ns: dict[str, int] = {}

    def next_id(self, strategy: str) -> ClientOrderId:
        self._sequence += 1
        return ClientOrderId(f"{self._run}-{self.epoch}-{strategy}-{self._sequence}")

    def overdue(self, now_ns: int) -> Iterable[Order]:
        """Orders to ask about now: unknown outcomes, and those whose answer or end is due for too long.

        Only a resting order may stay accepted; the end of an immediate one that has not come was lost on the way.
        """
        for order in list(self._open.values()):
            if (
                order.state not in (OrderState.PENDING, OrderState.UNKNOWN)
                and order.time_in_force is TimeInForce.GTC
                and order.client_order_id not in self._ending
            ):
                continue
            last = self._asked_ns.get(order.client_order_id)
            wait_from = last if last is not None else order.sent_time_ns
            if order.state is OrderState.UNKNOWN and last is None:
                wait_from = 0
            if now_ns - wait_from >= ASK_AFTER_NS:
                self._asked_ns[order.client_order_id] = now_ns
                yield order
