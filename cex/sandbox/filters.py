"""The exchange's filters: what a symbol says it accepts (exchangeInfo) and the check that an order obeys it.

One place for both, so that what is published is what is enforced.
Source: https://developers.binance.com/docs/binance-spot-api-docs/filters
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import capstan_native as native

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT, LimitsConfig, SymbolSpec
from cex.sandbox.errors import (
    bad_price_relationship,
    filter_failure,
    iceberg_exceeds_quantity,
    invalid_parameter,
    unsupported_combination,
)
from cex.sandbox.market import Market
from cex.sandbox.orders import STOP_TYPES, NewOrder, Order
from cex.sandbox.wire import units

_MAX_NOTIONAL_RAW: Final = 9_000_000 * UNIT
_MULTIPLIER_UP: Final = 5
_DIVISOR_DOWN: Final = 5
_AVERAGE_MINUTES: Final = 5
_TRAILING_BIPS_MIN: Final = 10
_TRAILING_BIPS_MAX: Final = 2000


def filter_views(spec: SymbolSpec, limits: LimitsConfig) -> list[dict[str, Any]]:
    """A symbol's filters as exchangeInfo shows them."""
    views: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": units(spec.tick_raw),
            "maxPrice": units(spec.price_max_raw),
            "tickSize": units(spec.tick_raw),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": units(spec.lot_raw),
            "maxQty": units(spec.qty_max_raw),
            "stepSize": units(spec.lot_raw),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": units(0),
            "maxQty": units(spec.market_qty_max_raw),
            "stepSize": units(0),
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": _TRAILING_BIPS_MIN,
            "maxTrailingAboveDelta": _TRAILING_BIPS_MAX,
            "minTrailingBelowDelta": _TRAILING_BIPS_MIN,
            "maxTrailingBelowDelta": _TRAILING_BIPS_MAX,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(_MULTIPLIER_UP),
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": str(_MULTIPLIER_UP),
            "askMultiplierDown": "0.2",
            "avgPriceMins": _AVERAGE_MINUTES,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": units(spec.min_notional_raw),
            "applyMinToMarket": True,
            "maxNotional": units(_MAX_NOTIONAL_RAW),
            "applyMaxToMarket": False,
            "avgPriceMins": _AVERAGE_MINUTES,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": limits.open_orders_per_symbol},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": limits.stop_orders_per_symbol},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": limits.order_lists_per_symbol},
        {"filterType": "ICEBERG_PARTS", "limit": limits.iceberg_parts},
        {"filterType": "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": limits.iceberg_orders_per_symbol},
    ]
    if spec.position_max_raw is not None:
        views.append({"filterType": "MAX_POSITION", "maxPosition": units(spec.position_max_raw)})
    return views


def check_order(order: NewOrder, market: Market, limits: LimitsConfig, now_ms: int) -> None:
    """Check an order's price, size and value.

    Raises:
        ApiError: -1013 with the name of the filter it fails.
    """
    spec = market.spec
    if order.good_till_ms and order.good_till_ms <= now_ms:
        raise invalid_parameter("goodTillDate")
    if order.type == "MARKET":
        _check_market_size(order, market, now_ms)
        return
    if not _fits(order.qty_raw, spec.lot_raw, spec.qty_max_raw, spec.lot_raw):
        raise filter_failure("LOT_SIZE")
    if order.iceberg_raw:
        _check_iceberg(order, spec, limits)
    if order.is_stop:
        _check_stop(order, spec)
    if order.price_raw or not order.is_stop:
        _check_price(order, market, now_ms)
    if order.is_stop and not order.price_raw and order.qty_raw > spec.market_qty_max_raw:
        raise filter_failure("MARKET_LOT_SIZE")
    price_raw = order.price_raw or order.stop_raw or market.last_price * spec.tick_raw
    check_notional(spec, price_raw * order.qty_raw // UNIT)


def check_notional(spec: SymbolSpec, notional_raw: int) -> None:
    if not spec.min_notional_raw <= notional_raw <= _MAX_NOTIONAL_RAW:
        raise filter_failure("NOTIONAL")


def check_open_orders(
    orders: Sequence[NewOrder], account: Account, spec: SymbolSpec, limits: LimitsConfig, replacing: Order | None
) -> None:
    """Check that an account may have these orders too; one that they replace does not count.

    Raises:
        ApiError: -1013.
    """
    leaving = replacing is not None and replacing.status.is_open and replacing.symbol is spec
    if account.open_counts.get(spec.name, 0) - leaving + len(orders) > limits.open_orders_per_symbol:
        raise filter_failure("MAX_NUM_ORDERS")
    stops, icebergs = sum(order.is_stop for order in orders), sum(order.iceberg_raw > 0 for order in orders)
    if not stops and not icebergs:
        return
    others = [o for o in account.open_orders.values() if o.symbol is spec and o is not replacing]
    if stops and stops + sum(order.is_stop for order in others) > limits.stop_orders_per_symbol:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")
    if icebergs and icebergs + sum(order.iceberg_lots > 0 for order in others) > limits.iceberg_orders_per_symbol:
        raise filter_failure("MAX_NUM_ICEBERG_ORDERS")


def check_position(orders: Sequence[NewOrder], account: Account, market: Market, replacing: Order | None) -> None:
    """Check what an account would have of the base asset if all its buys were filled; of a list, the greatest buy.

    Raises:
        ApiError: -1013.
    """
    spec = market.spec
    buys = [order for order in orders if order.side == native.BUY]
    if spec.position_max_raw is None or not buys:
        return
    balance = account.balance(spec.base)
    open_lots = sum(
        order.open_lots
        for order in account.open_orders.values()
        if order.symbol is spec and order.side == native.BUY and order is not replacing
    )
    more_raw = max(_quantity_raw(order, account, market) for order in buys)
    if balance.free + balance.locked + open_lots * spec.lot_raw + more_raw > spec.position_max_raw:
        raise filter_failure("MAX_POSITION")


def _quantity_raw(order: NewOrder, account: Account, market: Market) -> int:
    """What an order would buy; by value, what the book gives for it now."""
    spec = market.spec
    if not order.quote_qty_raw:
        return order.qty_raw
    return market.engine.lots_for(native.BUY, order.quote_qty_raw // spec.notional_unit, account.id) * spec.lot_raw


def check_open_lists(account: Account, spec: SymbolSpec, limits: LimitsConfig) -> None:
    if sum(other.symbol is spec for other in account.open_lists.values()) >= limits.order_lists_per_symbol:
        raise filter_failure("MAX_NUM_ORDER_LISTS")


def check_pair(above: NewOrder, below: NewOrder, last_price_raw: int | None) -> None:
    """Check that of two orders, one of which ends the other, each waits on its own side of the price.

    Raises:
        ApiError: -1014 for two that cannot be a pair, -2010 for prices the wrong way round.
    """
    if above.side != below.side or not (above.is_stop or below.is_stop):
        raise unsupported_combination()
    for order, is_above in ((above, True), (below, False)):
        if order.type not in ("LIMIT_MAKER", *STOP_TYPES):
            raise unsupported_combination()
        # A profit is taken above by a seller and below by a buyer; a loss is stopped on the other side.
        if order.type.startswith("STOP_LOSS") == (is_above == (order.side == native.SELL)):
            raise bad_price_relationship()
    # A trailing order without a stop price has no place of its own.
    high, low = (order.stop_raw if order.is_stop else order.price_raw for order in (above, below))
    ladder = [price for price in (high, last_price_raw, low) if price]
    if any(higher <= lower for higher, lower in pairwise(ladder)):
        raise bad_price_relationship()


def _check_iceberg(order: NewOrder, spec: SymbolSpec, limits: LimitsConfig) -> None:
    if not _fits(order.iceberg_raw, spec.lot_raw, spec.qty_max_raw, spec.lot_raw):
        raise filter_failure("LOT_SIZE")
    if order.iceberg_raw > order.qty_raw:
        raise iceberg_exceeds_quantity()
    if -(-order.qty_raw // order.iceberg_raw) > limits.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def _check_stop(order: NewOrder, spec: SymbolSpec) -> None:
    if order.trailing_bips and not _TRAILING_BIPS_MIN <= order.trailing_bips <= _TRAILING_BIPS_MAX:
        raise filter_failure("TRAILING_DELTA")
    if not (order.stop_raw or order.trailing_bips) or (
        order.stop_raw and not _fits(order.stop_raw, spec.tick_raw, spec.price_max_raw, spec.tick_raw)
    ):
        raise filter_failure("PRICE_FILTER")


def _check_price(order: NewOrder, market: Market, now_ms: int) -> None:
    spec = market.spec
    if not _fits(order.price_raw, spec.tick_raw, spec.price_max_raw, spec.tick_raw):
        raise filter_failure("PRICE_FILTER")
    average_raw = market.average_price(now_ms, _AVERAGE_MINUTES) * spec.tick_raw
    if not average_raw <= order.price_raw * _DIVISOR_DOWN or order.price_raw > average_raw * _MULTIPLIER_UP:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_market_size(order: NewOrder, market: Market, now_ms: int) -> None:
    spec = market.spec
    if order.quote_qty_raw:
        if order.quote_qty_raw < spec.min_notional_raw:
            raise filter_failure("NOTIONAL")
        return
    if not _fits(order.qty_raw, spec.lot_raw, spec.qty_max_raw, spec.lot_raw):
        raise filter_failure("LOT_SIZE")
    if order.qty_raw > spec.market_qty_max_raw:
        raise filter_failure("MARKET_LOT_SIZE")
    average_raw = market.average_price(now_ms, _AVERAGE_MINUTES) * spec.tick_raw
    if average_raw * order.qty_raw // UNIT < spec.min_notional_raw:
        raise filter_failure("NOTIONAL")


def _fits(raw: int, least: int, most: int, step: int) -> bool:
    return least <= raw <= most and raw % step == 0
