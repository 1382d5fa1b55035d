"""The exchange's filters: what a symbol says it accepts (exchangeInfo) and the check that an order obeys it.

One place for both, so that what is published is what is enforced.
Source: https://developers.binance.com/docs/binance-spot-api-docs/filters
"""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox.config import UNIT, LimitsConfig, SymbolSpec
from cex.sandbox.errors import filter_failure
from cex.sandbox.market import Market
from cex.sandbox.orders import NewOrder
from cex.sandbox.wire import units

_MAX_NOTIONAL_RAW: Final = 9_000_000 * UNIT
_MULTIPLIER_UP: Final = 5
_DIVISOR_DOWN: Final = 5
_AVERAGE_MINUTES: Final = 5


def filter_views(spec: SymbolSpec, limits: LimitsConfig) -> list[dict[str, Any]]:
    """A symbol's filters as exchangeInfo shows them."""
    return [
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
        {"filterType": "ICEBERG_PARTS", "limit": 0},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": units(0),
            "maxQty": units(spec.market_qty_max_raw),
            "stepSize": units(0),
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
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
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]


def check_order(order: NewOrder, market: Market, now_ms: int) -> None:
    """Check an order's price, size and value.

    Raises:
        ApiError: -1013 with the name of the filter it fails.
    """
    spec = market.spec
    if order.type == "MARKET":
        _check_market_size(order, market, now_ms)
        return
    _check_price(order, market, now_ms)
    if not _fits(order.qty_raw, spec.lot_raw, spec.qty_max_raw, spec.lot_raw):
        raise filter_failure("LOT_SIZE")
    check_notional(spec, order.price_raw * order.qty_raw // UNIT)


def check_notional(spec: SymbolSpec, notional_raw: int) -> None:
    if not spec.min_notional_raw <= notional_raw <= _MAX_NOTIONAL_RAW:
        raise filter_failure("NOTIONAL")


def check_open_orders(open_orders: int, limits: LimitsConfig) -> None:
    if open_orders >= limits.open_orders_per_symbol:
        raise filter_failure("MAX_NUM_ORDERS")


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
