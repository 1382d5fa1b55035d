"""What an account may ask beside its orders and trades: amendments, the filters it is under, allocations."""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox import errors, wire
from cex.sandbox.accounts import Account
from cex.sandbox.exchange import Exchange
from cex.sandbox.filters import filter_views
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits

JSON = Any
_LIMIT_DEFAULT: Final = 500
_LIMIT_MAX: Final = 1_000


class AccountQueries:
    """Answers for a signed request."""

    def __init__(self, exchange: Exchange, limits: RateLimits) -> None:
        self._exchange = exchange
        self._limits = limits

    def amendments(self, account: Account, params: Params) -> JSON:
        """Every amendment of one order, oldest first."""
        market = self._exchange.market(params.required("symbol"))
        params.required("orderId")
        order = account.orders.get(params.integer("orderId") or 0)
        if order is None or order.symbol is not market.spec:
            raise errors.order_does_not_exist()
        first = params.integer("fromExecutionId") or 0
        limit = min(params.integer("limit", least=1) or _LIMIT_DEFAULT, _LIMIT_MAX)
        lot = market.spec.lot_raw
        return [
            {
                "symbol": market.spec.name,
                "orderId": order.id,
                "executionId": execution_id,
                "origClientOrderId": former_id,
                "newClientOrderId": new_id,
                "origQty": wire.units(former_lots * lot),
                "newQty": wire.units(new_lots * lot),
                "time": time_ms,
            }
            for execution_id, former_id, new_id, former_lots, new_lots, time_ms in order.amendments
            if execution_id >= first
        ][:limit]

    def filters(self, _account: Account, params: Params) -> JSON:
        """The filters that count an account's orders on a symbol."""
        market = self._exchange.market(params.required("symbol"))
        views = filter_views(market.spec, self._exchange.limits)
        counting = [view for view in views if view["filterType"].startswith("MAX_")]
        return {
            "exchangeFilters": [],
            "symbolFilters": counting,
            "assetFilters": [],
            "rateLimits": self._limits.view(),
        }

    def allocations(self, _account: Account, params: Params) -> JSON:
        """None: there is no smart order routing."""
        self._exchange.market(params.required("symbol"))
        return []
