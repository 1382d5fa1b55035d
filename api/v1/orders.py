"""Orders: given by a client, placed by the engine once for each request, followed to their end; and their trades."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import PositiveText
from api.core.effects import IdempotencyKeyText
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.history.tables import FillRow, OrderRow
from api.orders import ClientOrders, NewOrder, Placed
from api.services import Services, Use

router = APIRouter(prefix="/v1", tags=["orders"])

Reader = Annotated[Principal, require(Scope.ORDERS_READ)]
Writer = Annotated[Principal, require(Scope.ORDERS_WRITE)]
WaitMs = Annotated[int, Query(ge=0, le=10_000, description="How long to wait for the venue's word.")]
OrderId = Annotated[str, Path(pattern=r"^ord_[0-9a-f]{24}$")]
Name = Annotated[str | None, Query(max_length=80)]


class Order(BaseModel):
    """An order as it was last known. Prices and sizes are decimal text."""

    client_order_id: str
    strategy: str
    instrument: str
    side: Literal["buy", "sell"]
    type: Literal["limit", "limit_maker", "market"]
    time_in_force: Literal["gtc", "ioc", "fok"]
    price: str
    qty: str
    filled: str
    state: str
    reason: str | None
    venue_order_id: str | None
    sent_ns: str


class Fill(BaseModel):
    """A trade of ours."""

    strategy: str
    instrument: str
    trade_id: str
    client_order_id: str
    venue_order_id: str | None
    side: Literal["buy", "sell"]
    price: str
    qty: str
    quote: str = Field(description="Paid or received, before fees, in the quote asset.")
    fee_asset: str
    fee: str = Field(description="Negative for a rebate.")
    is_maker: bool
    time_ns: str


_EXAMPLE: Final[JsonDict] = {
    "strategy": "desk", "instrument": "binance:ETHUSDC", "side": "buy", "type": "limit",
    "price": "2999.50", "qty": "0.5",
}  # fmt: skip


class OrderRequest(BaseModel):
    """What is wanted. `price` is left out of a market order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    strategy: str = Field(min_length=1, max_length=40, description="One of kind `client-orders`, of your portfolios.")
    instrument: str = Field(min_length=3, max_length=80)
    side: Literal["buy", "sell"]
    type: Literal["limit", "limit_maker", "market"] = "limit"
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    price: PositiveText | None = None
    qty: PositiveText


@router.post("/orders", status_code=201, response_model=Placed)
async def place_order(
    request: Request,
    services: Use,
    who: Writer,
    body: OrderRequest,
    key: IdempotencyKeyText,
    wait_ms: WaitMs = 1_000,
) -> Response:
    """Place an order, once for each Idempotency-Key.

    `state` is `denied` with the gate's `rule` where it was refused; `pending` where the venue had not answered in time:
    ask again by its id, never place it anew.
    """
    await services.directory.refresh()
    services.directory.check_strategy(who, body.strategy)
    order = NewOrder(**body.model_dump())
    return await _orders(services).place(request, who, key, order, wait_s=wait_ms / 1_000)


@router.get("/orders/{order_id}", response_model=Placed)
async def get_order(services: Use, who: Reader, order_id: OrderId) -> Placed:
    """An order of yours as it stands."""
    return await _orders(services).find(who, order_id)


@router.delete("/orders/{order_id}", response_model=Placed)
async def cancel_order(services: Use, who: Writer, order_id: OrderId, wait_ms: WaitMs = 1_000) -> Placed:
    """Cancel an order; one that has ended stays as it is. Safe to send again."""
    return await _orders(services).cancel(who, order_id, wait_s=wait_ms / 1_000)


@router.get("/orders", response_model=Page[Order])
async def list_orders(
    services: Use, who: Reader, portfolio: Name = None, strategy: Name = None, instrument: Name = None,
    state: Name = None, limit: Limit = 100, cursor: CursorText = None,
) -> Page[Order]:  # fmt: skip
    """Orders of your portfolios' strategies, the newest first, also those that strategies decided on themselves."""
    wanted = {"instrument": instrument, "state": state}
    rows, following = await _listed(services, who, OrderRow, portfolio, strategy, wanted, limit, cursor)
    return Page[Order](data=[Order.model_validate(row) for row in rows], next=following)


@router.get("/fills", response_model=Page[Fill])
async def list_fills(
    services: Use, who: Reader, portfolio: Name = None, strategy: Name = None, instrument: Name = None,
    client_order_id: Name = None, limit: Limit = 100, cursor: CursorText = None,
) -> Page[Fill]:  # fmt: skip
    """Trades of your portfolios' strategies, the newest first; booked in the ledger before they are here."""
    wanted = {"instrument": instrument, "client_order_id": client_order_id}
    rows, following = await _listed(services, who, FillRow, portfolio, strategy, wanted, limit, cursor)
    return Page[Fill](data=[Fill.model_validate(row) for row in rows], next=following)


async def _listed(
    services: Services,
    who: Principal,
    row: type[OrderRow] | type[FillRow],
    portfolio: str | None,
    strategy: str | None,
    wanted: dict[str, str | None],
    limit: int,
    cursor: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a table of the caller's strategies, the newest first; of columns that have a value, those with it."""
    strategies = await _strategies(services, who, portfolio, strategy)
    scope = f"{row.__tablename__}/{who.organisation}/{portfolio}/{strategy}/{sorted(wanted.items())}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[dict[str, Any]]:
        query: Any = _of_strategies(select(row).order_by(col(row.id).desc()).limit(limit + 1), row, strategies)
        if before is not None:
            query = query.where(col(row.id) < before)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(getattr(row, name) == value)
        return [found.model_dump() for found in session.exec(query)]

    return services.cursors.page(scope, await services.database.read(read), limit, lambda found: found["id"])


def _orders(services: Services) -> ClientOrders:
    own = services
    return ClientOrders(own.database, own.effects, own.engine, own.directory, own.clock.now_ns)


async def _strategies(
    services: Services, who: Principal, portfolio: str | None, strategy: str | None
) -> tuple[frozenset[str], frozenset[str] | None]:
    """Which strategies a list is of: those named, and where the caller owns the rest, all but those of others.

    Raises:
        NotFound: The caller sees no such portfolio or strategy.
    """
    await services.directory.refresh()
    if strategy is not None:
        found = services.directory.check_strategy(who, strategy)
        if portfolio is not None and found.id != services.directory.seen(who, portfolio).id:
            raise NotFound(f"no strategy {strategy[:64]!r} in this portfolio")
        return frozenset({strategy}), None
    chosen = services.directory.visible(who) if portfolio is None else [services.directory.seen(who, portfolio)]
    named = frozenset(name for each in chosen for name in each.strategies)
    has_rest = any(each.has_rest for each in chosen)
    return named, services.directory.assigned() if has_rest else None


def _of_strategies(query: Any, row: Any, strategies: tuple[frozenset[str], frozenset[str] | None]) -> Any:
    named, assigned = strategies
    inside = col(row.strategy).in_(named)
    return query.where(inside) if assigned is None else query.where(inside | col(row.strategy).not_in(assigned))
