"""GMX v2: orders in two phases. We create one and pay a keeper in advance; a keeper executes, cancels or freezes it.

`GmxBook` says which contracts, by version; `plan_order` makes the unsigned transaction; `GmxReader` says what became of
an order and what a position is. docs/perps.md has the whole.
"""

from dex.perps.gmx.book import GmxBook, GmxMarket, load_book
from dex.perps.gmx.fees import ExecutionGas
from dex.perps.gmx.orders import GmxOrder, OrderKind, plan_cancel, plan_order
from dex.perps.gmx.reader import GmxReader, OrderState, OrderStatus, Position, created_order, refunded_wei

__all__ = [
    "ExecutionGas",
    "GmxBook",
    "GmxMarket",
    "GmxOrder",
    "GmxReader",
    "OrderKind",
    "OrderState",
    "OrderStatus",
    "Position",
    "created_order",
    "load_book",
    "plan_cancel",
    "plan_order",
    "refunded_wei",
]
