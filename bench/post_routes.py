"""The two POSTs that `bench.api_posts` compares: one row of an order, durable, with and without who and once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Request, Response
from sqlalchemy import insert
from sqlmodel import Session, SQLModel

from api.auth.principal import Principal, public, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.orders.client_orders import Written
from api.orders.tables import OrderRequestRow
from api.services import Use
from api.v1.orders import OrderRequest

router = APIRouter(prefix="/bench")
_WRITE = insert(SQLModel.metadata.tables[str(OrderRequestRow.__tablename__)])


@router.post("/whole", status_code=201)
async def whole(
    request: Request,
    services: Use,
    who: Annotated[Principal, require(Scope.ORDERS_WRITE)],
    body: OrderRequest,
    key: IdempotencyKeyText,
) -> Response:
    """Who asks is found out, and it happens once."""
    work = _writing(body, who.organisation, services.clock.now_ns())
    return (await services.effects.once(request, who.organisation, key, work)).response()


@router.post("/plain", status_code=201, dependencies=[public()])
async def plain(services: Use, body: OrderRequest) -> Response:
    """Anybody, each time anew."""
    written = await services.batches.run(_writing(body, "anybody", services.clock.now_ns()))
    return Response(written.model_dump_json(), 201, media_type="application/json")


def _writing(body: OrderRequest, organisation: str, now_ns: int) -> Callable[[Session], Written]:
    def write(session: Session) -> Written:
        order_id = f"ord_{secrets.token_hex(12)}"
        about = {"id": order_id, "organisation": organisation, "actor": "bench", "created_ns": now_ns}
        session.execute(_WRITE, about | body.model_dump())
        return Written(id=order_id)

    return write
