"""Writes a running engine's orders and trades into the tables. Idempotent: after a crash all of the run is told again.

Trades come by way of the bookkeeper, which the engine tells each trade of the run, again at every start; orders are
noted step by step and, at a start, all that the journal knows. What is here may lag the engine by a fraction of a
second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import bindparam, insert, select, update
from sqlmodel import Session, SQLModel

from api.history.tables import FillRow, OrderRow
from api.webhooks.events import tell_fills, tell_orders
from domain import Fill, Instrument, VenueUnavailable
from domain import events as e
from engine.feed import Feed, fill_value
from engine.native import NativeKernel
from engine.ports import Bookkeeper
from runtime.database import Database

log = structlog.get_logger(__name__)

EVERY_S: Final = 0.2
_CHUNK: Final = 500
_ORDERS: Any = SQLModel.metadata.tables[str(OrderRow.__tablename__)]
_FILLS: Any = SQLModel.metadata.tables[str(FillRow.__tablename__)]
_CHANGING: Final = ("filled", "state", "reason", "venue_order_id")
_CHANGE: Final = (
    update(_ORDERS)
    .where(_ORDERS.c.client_order_id == bindparam("new_client_order_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGING})
)


class HistoryWriter:
    """Of one running engine. `on_step` is told of every step; `wrap` gives the bookkeeper that the engine is given."""

    def __init__(self, database: Database, kernel: NativeKernel, feed: Feed) -> None:
        self._database = database
        self._kernel = kernel
        self._feed = feed
        self._orders: dict[str, None] = {}

    def on_step(self, event: e.Event, commands: Iterable[e.Command]) -> None:
        """Note which orders a step changed."""
        match event:
            case e.OrderReported(client_order_id=client_order_id):
                self._orders[client_order_id] = None
            case e.FillReported(fill=fill):
                self._orders[fill.client_order_id] = None
            case e.EngineRestarted():
                self._orders |= dict.fromkeys(self._kernel.orders.orders)
            case _:
                pass
        for command in commands:
            if isinstance(command, e.PlaceOrder):
                self._orders[command.client_order_id] = None

    def wrap(self, bookkeeper: Bookkeeper) -> Bookkeeper:
        """Give a bookkeeper that writes trades here, too, after they are booked."""
        return _Both(bookkeeper, self)

    async def run(self) -> None:
        """Write what was noted, a few times a second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.flush()
            except VenueUnavailable as exc:
                log.warning("history.waiting", error=str(exc))

    async def flush(self) -> None:
        """Write what was noted; kept for the next time where the database does not answer."""
        noted, self._orders = self._orders, {}
        orders = self._kernel.orders.orders
        values = [self._feed.order(orders[name]) for name in noted if name in orders]
        try:
            for at in range(0, len(values), _CHUNK):
                chunk = values[at : at + _CHUNK]
                await self._database.run(lambda session, chunk=chunk: _write_orders(session, chunk))  # type: ignore[misc]
        except BaseException:
            self._orders = noted | self._orders
            raise

    async def write_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        """Write trades; those that are there already stay as they are."""
        for at in range(0, len(fills), _CHUNK):
            values = [fill_value(fill, instrument, strategy) for strategy, fill, instrument in fills[at : at + _CHUNK]]
            await self._database.run(lambda session, values=values: _write_fills(session, values))  # type: ignore[misc]


class _Both:
    """A bookkeeper and the history behind it: what is in the history is booked."""

    def __init__(self, bookkeeper: Bookkeeper, history: HistoryWriter) -> None:
        self._bookkeeper = bookkeeper
        self._history = history

    async def post_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        await self._bookkeeper.post_fills(fills)
        await self._history.write_fills(fills)

    async def open_balances(self, location: str, balances: Mapping[str, int]) -> None:
        await self._bookkeeper.open_balances(location, balances)


def _write_orders(session: Session, values: list[dict[str, Any]]) -> None:
    names = [value["client_order_id"] for value in values]
    query = select(_ORDERS.c.client_order_id, _ORDERS.c.state).where(_ORDERS.c.client_order_id.in_(names))
    known = {row.client_order_id: row.state for row in session.execute(query)}
    fresh = [value for value in values if value["client_order_id"] not in known]
    if fresh:
        session.execute(insert(_ORDERS), fresh)
    changed = [value for value in values if value["client_order_id"] in known]
    if changed:
        news = [{f"new_{name}": value[name] for name in ("client_order_id", *_CHANGING)} for value in changed]
        session.execute(_CHANGE, news)
    tell_orders(session, [value for value in values if known.get(value["client_order_id"]) != value["state"]])


def _write_fills(session: Session, values: list[dict[str, Any]]) -> None:
    ids = [value["trade_id"] for value in values]
    query = select(_FILLS.c.instrument, _FILLS.c.trade_id).where(_FILLS.c.trade_id.in_(ids))
    known = {(row.instrument, row.trade_id) for row in session.execute(query)}
    fresh = {(value["instrument"], value["trade_id"]): value for value in values}
    if rows := [value for key, value in fresh.items() if key not in known]:
        session.execute(insert(_FILLS), rows)
        tell_fills(session, rows)
