"""A client's order, from its request to the engine: written with its key first, then placed under the id it was given.

    POST ──> one transaction: key, request row ──> engine: place_order(request id) ──> answer

The row is there before the engine hears of the order, and the engine takes each id once. So a request that is sent
again after a crash, a timeout or a 5xx finds its row and asks the engine for the same order: it is placed now if it was
not, and told as it stands if it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import insert
from sqlmodel import Session, SQLModel

from api.auth.principal import Principal
from api.core.effects import Effects
from api.core.errors import NotFound
from api.engine_door import EngineDoor
from api.orders.tables import OrderRequestRow
from api.portfolios import Directory
from domain import InputError
from runtime.database import Database

_WRITE: Final = insert(SQLModel.metadata.tables[str(OrderRequestRow.__tablename__)])


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client wants; see `api.v1.orders.OrderRequest`."""

    strategy: str
    instrument: str
    side: str
    type: str
    time_in_force: str
    qty: str
    price: str | None = None


class Written(BaseModel):
    """What the first transaction is remembered by."""

    id: str


class Placed(BaseModel):
    """A client's order as it stands."""

    id: str = Field(examples=["ord_0123456789abcdef01234567"])
    strategy: str
    instrument: str
    side: str
    type: str
    time_in_force: str
    price: str | None
    qty: str
    state: str = Field(description="`denied`, `pending`, `unknown`, `accepted`, `partially_filled`, `filled`, …")
    filled: str
    client_order_id: str | None
    venue_order_id: str | None
    rule: str | None = Field(description="What refused it here.")
    reason: str | None


class ClientOrders:
    """Places, finds and cancels orders for clients."""

    def __init__(
        self,
        database: Database,
        effects: Effects,
        engine: EngineDoor,
        directory: Directory,
        now_ns: Callable[[], int],
    ) -> None:
        self._database = database
        self._directory = directory
        self._effects = effects
        self._engine = engine
        self._now_ns = now_ns

    async def place(self, request: Request, who: Principal, key: str, order: NewOrder, *, wait_s: float) -> Response:
        """Place an order once for its key, and answer with it as it stands.

        Raises:
            InputError: It cannot be; it is remembered as such, and stays so under this key.
            VenueUnavailable: The engine is not running: send the same request again.
            OutcomeUnknown: The engine has it and has not come to it: send the same request again.
        """

        def write(session: Session) -> Written:
            order_id = f"ord_{secrets.token_hex(12)}"
            about = {"id": order_id, "organisation": who.organisation, "actor": who.actor}
            # Not through the ORM's unit of work: this is what every order waits for.
            session.execute(_WRITE, about | asdict(order) | {"created_ns": self._now_ns()})
            return Written(id=order_id)

        once = await self._effects.once(request, who.organisation, key, write)
        placed = await self._tell(once.value()["id"], order, wait_s)
        headers = {"idempotency-replayed": "true"} if once.is_replayed else {}
        return Response(placed.model_dump_json(), 201, headers, "application/json")

    async def find(self, who: Principal, order_id: str) -> Placed:
        """An order as it stands; asking places nothing.

        Raises:
            NotFound: The caller's organisation gave no such order, or its strategy is none of the caller's.
        """
        order = await self._given(who, order_id)
        try:
            return _placed(order_id, await self._engine.ask("find_order", request=order_id))
        except InputError:
            return _unplaced(order_id, order)

    async def cancel(self, who: Principal, order_id: str, *, wait_s: float) -> Placed:
        """Cancel an order of the caller's organisation; one that the engine has not heard of will not be placed.

        Raises:
            NotFound: It gave no such order.
        """
        order = await self._given(who, order_id)
        asked = {"request": order_id, "strategy": order.strategy, "wait_s": wait_s}
        answer = await self._engine.ask("cancel_order", timeout_s=wait_s + 10, **asked)
        return _placed(order_id, answer) if "instrument" in answer else _unplaced(order_id, order, answer)

    async def _given(self, who: Principal, order_id: str) -> NewOrder:
        def read(session: Session) -> NewOrder | None:
            row = session.get(OrderRequestRow, order_id)
            if row is None or row.organisation != who.organisation:
                return None
            return NewOrder(**{field.name: getattr(row, field.name) for field in fields(NewOrder)})

        order = await self._database.read(read)
        await self._directory.refresh()
        if order is None or not self._directory.sees_strategy(who, order.strategy):
            raise NotFound(f"no order {order_id}")
        return order

    async def _tell(self, order_id: str, order: NewOrder, wait_s: float) -> Placed:
        """Have the engine place it, unless it has."""
        told = {name: value for name, value in asdict(order).items() if value is not None}
        answer = await self._engine.ask("place_order", request=order_id, wait_s=wait_s, timeout_s=wait_s + 10, **told)
        return _placed(order_id, answer)


def _unplaced(order_id: str, order: NewOrder, answer: dict[str, Any] | None = None) -> Placed:
    """An order that was written, and of which the engine has not heard."""
    known = {"state": "unplaced", "filled": "0", "client_order_id": None, "venue_order_id": None}
    why = {"rule": None, "reason": "its request has to be sent again to place it"} | (answer or {})
    return Placed(**({"id": order_id} | asdict(order) | known | {name: why[name] for name in why if name != "request"}))


def _placed(order_id: str, answer: dict[str, Any]) -> Placed:
    return Placed(id=order_id, **{name: answer[name] for name in Placed.model_fields if name != "id"})
