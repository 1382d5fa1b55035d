"""What requests weigh where that depends on their parameters, for both doors.

A parameter that cannot be read weighs as if it was absent; whoever answers the request refuses it.
Source: "Weight" of each request, https://developers.binance.com/docs/binance-spot-api-docs/rest-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cex.sandbox.params import Params

Weight = int | Callable[[Params], int]

_DEPTH: Final = ((100, 5), (500, 25), (1_000, 50))
_DEPTH_MOST: Final = 250


def weigh(weight: Weight, params: Params) -> int:
    """Give a request's weight."""
    return weight if isinstance(weight, int) else weight(params)


def depth(params: Params) -> int:
    limit = params.peek("limit")
    levels = int(limit) if limit.isdecimal() and len(limit) < 10 else 100
    return next((weight for most, weight in _DEPTH if levels <= most), _DEPTH_MOST)


def day_ticker(params: Params) -> int:
    """`ticker/24hr`: by how many symbols are asked for; all of them weigh most."""
    if "symbol" in params:
        return 2
    count = _symbols(params)
    return 80 if count is None or count > 100 else 40 if count > 20 else 2


def simple_ticker(params: Params) -> int:
    """`ticker/price` and `ticker/bookTicker`."""
    return 2 if "symbol" in params else 4


def window_ticker(params: Params) -> int:
    """`ticker` and `ticker/tradingDay`."""
    return min(4 * (_symbols(params) or 1), 200)


def execution_rules(params: Params) -> int:
    if "symbol" in params:
        return 2
    return min(2 * (_symbols(params) or 20), 40)


def test_order(params: Params) -> int:
    return 20 if params.peek("computeCommissionRates") == "true" else 1


def open_orders(params: Params) -> int:
    return 6 if "symbol" in params else 80


def own_trades(params: Params) -> int:
    return 5 if "orderId" in params else 20


def prevented_matches(params: Params) -> int:
    return 20 if "orderId" in params else 2


def _symbols(params: Params) -> int | None:
    """How many symbols a list names, without reading it; None without one."""
    return params.peek("symbols").count(",") + 1 if "symbols" in params else None
