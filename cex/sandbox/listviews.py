"""How order lists look on Binance's wire."""

from __future__ import annotations

from typing import Any

from cex.sandbox import wire
from cex.sandbox.orders import ListKind, ListReported, OrderList

JSON = dict[str, Any]


def list_view(order_list: OrderList) -> JSON:
    """An order list as queries return it."""
    return {
        "orderListId": order_list.id,
        "contingencyType": _contingency(order_list),
        "listStatusType": "ALL_DONE" if order_list.is_done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if order_list.is_done else "EXECUTING",
        "listClientOrderId": order_list.client_order_id,
        "transactionTime": order_list.updated_ms,
        "symbol": order_list.symbol.name,
        "orders": [
            {"symbol": order.symbol.name, "orderId": order.id, "clientOrderId": order.client_order_id}
            for order in order_list.orders
        ],
    }


def new_list_view(order_list: OrderList, response_type: str) -> JSON:
    """The answer to a new order list; `orderReports` in the form asked for."""
    reports = [wire.new_order_view(order, response_type) for order in order_list.orders]
    return list_view(order_list) | {"orderReports": reports}


def canceled_list_view(order_list: OrderList, cancel_id: str) -> JSON:
    return list_view(order_list) | {
        "orderReports": [wire.canceled_view(order, cancel_id) for order in order_list.orders]
    }


def list_status(event: ListReported) -> JSON:
    """The user data event `listStatus`."""
    order_list = event.order_list
    return {
        "e": "listStatus",
        "E": event.time_ms,
        "s": order_list.symbol.name,
        "g": order_list.id,
        "c": _contingency(order_list),
        "l": event.status_type,
        "L": "ALL_DONE" if event.status_type == "ALL_DONE" else "EXECUTING",
        "r": "NONE",
        "C": order_list.client_order_id,
        "T": event.time_ms,
        "O": [{"s": order.symbol.name, "i": order.id, "c": order.client_order_id} for order in order_list.orders],
    }


def _contingency(order_list: OrderList) -> str:
    return "OCO" if order_list.kind is ListKind.OCO else "OTO"
