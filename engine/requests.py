"""Orders that clients ask for while a run trades: checked, told to the kernel as events, answered when more is known.

    place() ──> OrderRequested ──> journal ──> kernel: gate, order ──> ClientRequest ──> venue ──> acknowledged

A request's id is the client's: told twice it is one order, also across restarts, because it stands in the journal. What
is asked for after a crash is answered from there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from domain import InputError, Order, OrderState, OrderType, OutcomeUnknown, Side, TimeInForce
from domain import events as e
from engine.edge import client_number
from engine.strategies.client_orders import ClientOrdersSettings
from runtime import tracing

if TYPE_CHECKING:
    from engine.native import NativeKernel

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
WITHDRAWN: Final = "withdrawn"
_WITHDRAWN_REASON: Final = "cancelled before it was placed"
COME_TO_S: Final = 10.0
"""How long the engine may take to come to an event: it is milliseconds."""
_UNANSWERED: Final = (OrderState.PENDING, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What the kernel made of a request."""

    event: e.OrderRequested
    client_order_id: str = ""
    """Of the order that was placed; empty where it was refused."""
    rule: str = ""
    """What refused it."""
    reason: str = ""


def withdrawn(event: e.OrderRequested) -> ClientRequest:
    """A request whose cancel came first."""
    return ClientRequest(event, rule=WITHDRAWN, reason=_WITHDRAWN_REASON)


def taken(event: e.OrderRequested, number: int | None, commands: Iterable[e.Command]) -> ClientRequest:
    """Say what became of a request, of the commands that its step gave."""
    refusal: e.RiskRejected | None = None
    for command in commands:
        if isinstance(command, e.PlaceOrder) and number == client_number(command.client_order_id):
            return ClientRequest(event, command.client_order_id)
        if isinstance(command, e.RiskRejected) and refusal is None:
            refusal = command
    if refusal is None:
        return ClientRequest(event, rule="stopped", reason="no orders are taken now")
    return ClientRequest(event, rule=refusal.rule, reason=refusal.detail)


class Requests:
    """The door for clients' orders of one running engine. `on_step` has to be told of every step."""

    def __init__(self, kernel: NativeKernel, emit: Callable[[e.Event], None]) -> None:
        self._kernel = kernel
        self._emit = emit
        self._taken: dict[str, list[asyncio.Future[None]]] = {}
        self._answered: dict[str, list[asyncio.Future[None]]] = {}

    def on_step(self, event: e.Event, commands: Iterable[e.Command]) -> None:
        """Wake whoever waits for what this step brought."""
        match event:
            case e.OrderRequested(request=request) | e.CancelRequested(request=request):
                if tracing.is_on() and (known := self._kernel.requests.get(request)) is not None:
                    tracing.hand_over(request, known.client_order_id)
                _wake(self._taken.pop(request, ()))
            case e.OrderReported(client_order_id=client_order_id):
                _wake(self._answered.pop(client_order_id, ()))
            case e.FillReported(fill=fill):
                _wake(self._answered.pop(fill.client_order_id, ()))
            case _:
                pass

    async def place(self, request: dict[str, Any], *, wait_s: float) -> dict[str, Any]:
        """Place an order, once for each request id.

        Args:
            request: `request`, `strategy`, `instrument`, `side`, `type`, `time_in_force`, `price`, `qty`, as text.
            wait_s: How long to wait for the venue's word before answering; 0 answers when it was handed over.

        Raises:
            InputError: Something about it is impossible, or its id was used for another order. Nothing was placed.
            OutcomeUnknown: The engine has not come to it yet.
        """
        event = self._checked(request)
        known = self._kernel.requests.get(event.request)
        if known is not None:
            _same(known.event, event)
        else:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._taken.setdefault(event.request, []).append(waiting)
            self._emit(event)
            await _patiently(waiting, COME_TO_S, event.request)
            known = self._kernel.requests[event.request]
            _same(known.event, event)
        if known.client_order_id and wait_s > 0:
            await self._acknowledged(known.client_order_id, wait_s)
        return self.describe(known)

    async def cancel(self, request: str, strategy: str, *, wait_s: float) -> dict[str, Any]:
        """Have the order of a request cancelled; it tells the order as it stands after `wait_s` at most.

        A request that was not heard of will be refused when it comes (`rule` is `withdrawn`): it may be on its way.

        Raises:
            InputError: A request id that cannot be, or a strategy that takes no orders.
            OutcomeUnknown: The engine has not come to it yet.
        """
        known = self._kernel.requests.get(request)
        if known is None:
            return await self._withdraw(request, strategy)
        order = self._order(known)
        if order is not None and order.state.is_open:
            self._emit(e.CancelRequested(time_ns=0, strategy=known.event.strategy, request=request))
            deadline = asyncio.get_running_loop().time() + wait_s
            while order.state.is_open and (left := deadline - asyncio.get_running_loop().time()) > 0:
                await self._report(order.client_order_id, left)
        return self.describe(known)

    async def _withdraw(self, request: str, strategy: str) -> dict[str, Any]:
        if not REQUEST_ID.fullmatch(request):
            raise InputError(f"request id {request!r}", hint="1 to 64 characters of A-Z, a-z, 0-9, - and _")
        self._settings(strategy)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken.setdefault(request, []).append(waiting)
        self._emit(e.CancelRequested(time_ns=0, strategy=strategy, request=request))
        await _patiently(waiting, COME_TO_S, request)
        known = self._kernel.requests.get(request)
        if known is not None:  # It came in between.
            return await self.cancel(request, strategy, wait_s=0)
        return {"request": request, "state": OrderState.DENIED.value, "rule": WITHDRAWN, "reason": _WITHDRAWN_REASON}

    def find(self, request: str) -> dict[str, Any]:
        """Tell an order as it stands.

        Raises:
            InputError: There was no such request.
        """
        return self.describe(self._found(request))

    def describe(self, known: ClientRequest) -> dict[str, Any]:
        """Tell a request and its order, numbers as decimal text."""
        event, order = known.event, self._order(known)
        instrument = self._kernel.markets.instruments[event.instrument]
        told = {
            "request": event.request,
            "strategy": event.strategy,
            "instrument": event.instrument,
            "side": event.side.value,
            "type": event.type.value,
            "time_in_force": event.time_in_force.value,
            "price": None if event.type is OrderType.MARKET else f"{instrument.price(event.price_ticks):f}",
            "qty": f"{instrument.qty(event.qty_lots):f}",
            "client_order_id": known.client_order_id or None,
            "rule": known.rule or None,
            "reason": known.reason or None,
            "state": OrderState.DENIED.value,
            "filled": f"{instrument.qty(0):f}",
            "venue_order_id": None,
        }
        if order is not None:
            told |= {
                "state": order.state.value,
                "filled": f"{instrument.qty(order.filled_lots):f}",
                "venue_order_id": order.venue_order_id or None,
                "reason": order.reason or None,
            }
        return told

    # --- parts

    def _checked(self, request: dict[str, Any]) -> e.OrderRequested:
        kernel = self._kernel
        name = _text(request, "request")
        if not REQUEST_ID.fullmatch(name):
            raise InputError(f"request id {name!r}", hint="1 to 64 characters of A-Z, a-z, 0-9, - and _")
        strategy, instrument_id = _text(request, "strategy"), _text(request, "instrument")
        settings = self._settings(strategy)
        if instrument_id not in settings.instruments:
            raise InputError(
                f"strategy {strategy} does not trade {instrument_id!r}",
                hint=f"it trades {', '.join(settings.instruments)}",
            )
        instrument = kernel.markets.instruments[instrument_id]
        try:
            side, kind = Side(_text(request, "side")), OrderType(_text(request, "type"))
            lasting = TimeInForce(_text(request, "time_in_force"))
        except ValueError as exc:
            raise InputError(f"order {name}: {exc}") from exc
        if kind is OrderType.LIMIT_MAKER and lasting is not TimeInForce.GTC:
            raise InputError(f"order {name}: a maker order is good till cancelled")
        if kind is OrderType.MARKET and lasting is TimeInForce.GTC:
            lasting = TimeInForce.IOC
        ticks = 0 if kind is OrderType.MARKET else instrument.ticks(_number(request, "price"))
        if kind is OrderType.MARKET and request.get("price") is not None:
            raise InputError(f"order {name}: a market order has no price", hint="use a limit order with ioc")
        lots = instrument.lots(_number(request, "qty"))
        if lots <= 0 or (ticks <= 0 and kind is not OrderType.MARKET):
            raise InputError(f"order {name}: price and size must be positive")
        return e.OrderRequested(
            time_ns=0, strategy=strategy, request=name, instrument=instrument_id, side=side, type=kind,
            time_in_force=lasting, price_ticks=ticks, qty_lots=lots,
        )  # fmt: skip

    def _settings(self, strategy: str) -> ClientOrdersSettings:
        settings = self._kernel.parameters.get(strategy)
        if not isinstance(settings, ClientOrdersSettings):
            takes = [s.id for s in self._kernel.parameters.values() if isinstance(s, ClientOrdersSettings)]
            raise InputError(
                f"strategy {strategy!r} takes no orders from outside",
                hint=f"these do: {', '.join(takes)}" if takes else "configure one of kind client-orders",
            )
        return settings

    def _found(self, request: str) -> ClientRequest:
        known = self._kernel.requests.get(request)
        if known is None:
            raise InputError(f"no order was asked for as {request[:64]!r}")
        return known

    def _order(self, known: ClientRequest) -> Order | None:
        return self._kernel.orders.orders.get(known.client_order_id)

    async def _acknowledged(self, client_order_id: str, wait_s: float) -> None:
        """Wait until the venue has said something of an order, or the time is up."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while self._kernel.orders.orders[client_order_id].state in _UNANSWERED:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await self._report(client_order_id, left)

    async def _report(self, client_order_id: str, left_s: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered.setdefault(client_order_id, []).append(waiting)
        await asyncio.wait([waiting], timeout=left_s)


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise InputError(f"order: {key} is text", hint="numbers too: a JSON number is a float to most")
    return value


def _number(request: dict[str, Any], key: str) -> Decimal:
    text = _text(request, key)
    if not _DECIMAL.fullmatch(text):
        raise InputError(f"order: {key} is a positive decimal number as text, found {text[:40]!r}")
    return Decimal(text)


def _same(known: e.OrderRequested, wanted: e.OrderRequested) -> None:
    if msgspec.structs.replace(known, time_ns=0) != wanted:
        raise InputError(f"request {wanted.request} was another order", hint="a new order needs a new id")


def _wake(waiting: Iterable[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)


async def _patiently(waiting: asyncio.Future[None], seconds: float, request: str) -> None:
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    if not done:
        raise OutcomeUnknown("the engine has not come to it yet", request_id=request)
