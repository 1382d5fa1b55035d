"""What the engine's process announces: trades and ends of orders, in the transaction that writes their history."""

from __future__ import annotations

import time
from typing import Any

from sqlmodel import Session, col, select

from api.portfolios.tables import PortfolioRow, PortfolioStrategyRow
from api.webhooks.outbox import Outbox
from api.webhooks.tables import EndpointRow
from domain import OrderState

_OUTBOX = Outbox(time.time_ns)


def tell_fills(session: Session, fills: list[dict[str, Any]]) -> None:
    """Announce trades that were written just now."""
    _tell(session, "fill.created", fills, lambda fill: f"fill/{fill['instrument']}/{fill['trade_id']}")


def tell_orders(session: Session, orders: list[dict[str, Any]]) -> None:
    """Announce which of the orders have ended."""
    ended = [order for order in orders if not OrderState(order["state"]).is_open]
    _tell(session, "order.ended", ended, lambda order: f"order/{order['client_order_id']}")


def _tell(session: Session, kind: str, values: list[dict[str, Any]], source: Any) -> None:
    if not values or session.exec(select(EndpointRow.id).limit(1)).first() is None:
        return
    owners: dict[str, str | None] = {}
    for value in values:
        strategy = value["strategy"]
        if strategy not in owners:
            owners[strategy] = _organisation(session, strategy)
        if (organisation := owners[strategy]) is not None:
            _OUTBOX.announce(session, organisation, kind, value, source=source(value)[:120])


def _organisation(session: Session, strategy: str) -> str | None:
    """Whose a strategy is, as `Directory.of_strategy` has it."""
    row = session.get(PortfolioStrategyRow, strategy)
    query = select(PortfolioRow.organisation)
    query = query.where(col(PortfolioRow.has_rest) if row is None else PortfolioRow.id == row.portfolio)
    return session.exec(query).first()
