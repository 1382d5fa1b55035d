"""Orders and order lists as clients ask for them: from text parameters to the exchange's values.

What an order's type does not take is refused, never ignored: an ignored parameter would place a different order.
Source: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

import capstan_native as native

from cex.sandbox import errors
from cex.sandbox.orders import (
    DEFAULT_PREVENTION,
    PREVENTION_CODES,
    STOP_TYPES,
    TIME_IN_FORCE_CODES,
    TYPE_CODES,
    ListKind,
    NewOrder,
    NewOrderList,
)
from cex.sandbox.params import Params

_SIDES: Final = MappingProxyType({"BUY": native.BUY, "SELL": native.SELL})
_UNSUPPORTED: Final = ("pegPriceType", "pegOffsetType", "pegOffsetValue")
_STRATEGY_TYPE_MIN: Final = 1_000_000
_GOOD_TILL_MAX_MS: Final = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class _Names:
    """What one order's parameters are called within a request. An empty name: it has no such parameter."""

    side: str = "side"
    type: str = "type"
    client_order_id: str = "newClientOrderId"
    quantity: str = "quantity"
    quote_quantity: str = ""
    price: str = "price"
    time_in_force: str = "timeInForce"
    stop_price: str = "stopPrice"
    trailing_delta: str = "trailingDelta"
    iceberg: str = "icebergQty"
    good_till: str = "goodTillDate"
    strategy_id: str = "strategyId"
    strategy_type: str = "strategyType"


def _prefixed(prefix: str, **more: str) -> _Names:
    """Names of a list's order: `above` gives abovePrice, aboveStopPrice and so on."""
    names = {
        "side": f"{prefix}Side",
        "type": f"{prefix}Type",
        "client_order_id": f"{prefix}ClientOrderId",
        "quantity": f"{prefix}Quantity",
        "price": f"{prefix}Price",
        "time_in_force": f"{prefix}TimeInForce",
        "stop_price": f"{prefix}StopPrice",
        "trailing_delta": f"{prefix}TrailingDelta",
        "iceberg": f"{prefix}IcebergQty",
        "good_till": f"{prefix}GoodTillDate",
        "strategy_id": f"{prefix}StrategyId",
        "strategy_type": f"{prefix}StrategyType",
    }
    return _Names(**(names | more))


_ORDER: Final = _Names(quote_quantity="quoteOrderQty")
_OCO: Final = tuple(_prefixed(prefix, side="side", quantity="quantity") for prefix in ("above", "below"))
_WORKING: Final = _prefixed("working")
_PENDING: Final = _prefixed("pending")
_PENDING_PAIR: Final = tuple(
    _prefixed(prefix, side="pendingSide", quantity="pendingQuantity") for prefix in ("pendingAbove", "pendingBelow")
)
_LEGACY_LIMIT: Final = _prefixed(
    "limit", side="side", quantity="quantity", price="price", stop_price="", trailing_delta=""
)
_LEGACY_STOP: Final = _prefixed(
    "stop",
    side="side",
    quantity="quantity",
    price="stopLimitPrice",
    time_in_force="stopLimitTimeInForce",
    stop_price="stopPrice",
    trailing_delta="trailingDelta",
)


def new_order(params: Params, now_ms: int) -> NewOrder:
    return _order(params, _ORDER, params.required("type"), now_ms)


def new_list(kind: ListKind, params: Params, now_ms: int) -> NewOrderList:
    """Read `orderList/oco`, `orderList/oto` or `orderList/otoco`."""
    if kind is ListKind.OCO:
        names: tuple[_Names, ...] = _OCO
    elif kind is ListKind.OTO:
        names = (_WORKING, _PENDING)
    else:
        names = (_WORKING, *_PENDING_PAIR)
    orders = tuple(_order(params, each, params.required(each.type), now_ms) for each in names)
    if kind is not ListKind.OCO and orders[0].type not in ("LIMIT", "LIMIT_MAKER"):
        raise errors.invalid_parameter("workingType")
    return NewOrderList(kind, orders, params.client_order_id("listClientOrderId") or "")


def legacy_oco(params: Params, now_ms: int) -> NewOrderList:
    """Read `order/oco`, which names its orders by what they do instead of where they lie."""
    stop_type = "STOP_LOSS_LIMIT" if "stopLimitPrice" in params else "STOP_LOSS"
    if stop_type == "STOP_LOSS":
        params.required("stopPrice" if "trailingDelta" not in params else "trailingDelta")
    limit = _order(params, _LEGACY_LIMIT, "LIMIT_MAKER", now_ms)
    stop = _order(params, _LEGACY_STOP, stop_type, now_ms)
    orders = (limit, stop) if limit.side == native.SELL else (stop, limit)
    return NewOrderList(ListKind.OCO, orders, params.client_order_id("listClientOrderId") or "")


def _order(params: Params, names: _Names, type_: str, now_ms: int) -> NewOrder:
    side = _SIDES.get(params.required(names.side))
    if side is None:
        raise errors.invalid_side()
    if type_ not in TYPE_CODES:
        raise errors.invalid_order_type()
    params.refuse(*_refused(names, type_))
    has_limit = TYPE_CODES[type_] != native.MARKET
    time_in_force, good_till_ms = _time_in_force(params, names, type_, now_ms) if has_limit else ("GTC", 0)
    qty_raw, quote_qty_raw = _size(params, names, type_)
    if has_limit:
        params.required(names.price)
    stop_raw, trailing_bips = _stop(params, names) if type_ in STOP_TYPES else (0, 0)
    return NewOrder(
        side,
        type_,
        time_in_force,
        price_raw=(params.amount(names.price) or 0) if has_limit else 0,
        qty_raw=qty_raw,
        quote_qty_raw=quote_qty_raw,
        client_order_id=params.client_order_id(names.client_order_id) or "",
        self_trade_prevention=_prevention(params),
        stop_raw=stop_raw,
        trailing_bips=trailing_bips,
        iceberg_raw=_iceberg(params, names, time_in_force),
        good_till_ms=good_till_ms,
        strategy_id=params.integer(names.strategy_id),
        strategy_type=params.integer(names.strategy_type, least=_STRATEGY_TYPE_MIN),
    )


@cache
def _refused(names: _Names, type_: str) -> tuple[str, ...]:
    """Parameters that an order of this type does not take."""
    refused = list(_UNSUPPORTED)
    has_limit = TYPE_CODES[type_] != native.MARKET
    if type_ != "MARKET":
        refused.append(names.quote_quantity)
    if type_ not in STOP_TYPES:
        refused += [names.stop_price, names.trailing_delta]
    if not has_limit:
        refused += [names.price, names.iceberg]
    if not has_limit or type_ == "LIMIT_MAKER":
        refused += [names.time_in_force, names.good_till]
    return tuple(name for name in refused if name)


def _time_in_force(params: Params, names: _Names, type_: str, now_ms: int) -> tuple[str, int]:
    """Read how long an order is good: its time in force and, for GTD, the date."""
    if type_ == "LIMIT_MAKER":
        return "GTC", 0
    time_in_force = params.required(names.time_in_force)
    if time_in_force not in TIME_IN_FORCE_CODES:
        raise errors.invalid_time_in_force()
    if time_in_force != "GTD":
        params.refuse(names.good_till)
        return time_in_force, 0
    params.required(names.good_till)
    return time_in_force, params.integer(names.good_till, least=now_ms + 1, most=_GOOD_TILL_MAX_MS) or 0


def _size(params: Params, names: _Names, type_: str) -> tuple[int, int]:
    """Read how much an order is for: its quantity, or the value that a market order spends."""
    if type_ != "MARKET" or not names.quote_quantity or names.quote_quantity not in params:
        params.required(names.quantity)
        qty_raw = params.amount(names.quantity) or 0
        if type_ == "MARKET" and not qty_raw:
            raise errors.filter_failure("LOT_SIZE")
        return qty_raw, 0
    if names.quantity in params:
        raise errors.missing_parameter(names.quantity)
    quote_qty_raw = params.amount(names.quote_quantity) or 0
    if not quote_qty_raw:
        raise errors.filter_failure("NOTIONAL")
    return 0, quote_qty_raw


def _stop(params: Params, names: _Names) -> tuple[int, int]:
    """Read what triggers a stop order: its price, how far it trails, or both."""
    if names.stop_price not in params and names.trailing_delta not in params:
        raise errors.missing_parameter(names.stop_price)
    return params.amount(names.stop_price) or 0, params.integer(names.trailing_delta, least=1) or 0


def _iceberg(params: Params, names: _Names, time_in_force: str) -> int:
    """Read how much of a resting order is shown."""
    if names.iceberg not in params:
        return 0
    if time_in_force not in ("GTC", "GTD"):
        raise errors.iceberg_must_rest()
    return params.amount(names.iceberg) or 0


def _prevention(params: Params) -> str:
    mode = params.text("selfTradePreventionMode")
    if mode == "TRANSFER":
        raise errors.prevention_not_allowed()
    return params.choice("selfTradePreventionMode", PREVENTION_CODES, DEFAULT_PREVENTION)
