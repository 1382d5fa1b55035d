"""Which path of `/api/v3` is answered by what, and what it weighs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cex.sandbox import errors, weights
from cex.sandbox.accountqueries import AccountQueries
from cex.sandbox.accounts import Account
from cex.sandbox.params import Params
from cex.sandbox.queries import PublicQueries
from cex.sandbox.signing import Right
from cex.sandbox.trading import Trading
from cex.sandbox.weights import Weight

PublicAction = Callable[[Params], Any]
SignedAction = Callable[[Account, Params], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers one method of one path: `public`, `keyed` (API key only) or `signed`."""

    weight: Weight
    public: PublicAction | None = None
    keyed: SignedAction | None = None
    signed: SignedAction | None = None
    is_order: bool = False
    """Places orders: the acknowledgement is what faults are about."""
    is_snapshot: bool = False
    """Answers with a book, which faults may spoil."""
    right: Right = Right.TRADE
    """What the key must be for."""

    @property
    def is_withdrawal(self) -> bool:
        """Whether its acknowledgement is that of a withdrawal, which may get lost."""
        return self.right is Right.WITHDRAW

    def answer(self, account: Account | None, params: Params) -> Any:
        """Do what is asked for; `account` is whose request it is, where that is known."""
        if self.public is not None:
            return self.public(params)
        action = self.signed or self.keyed
        if action is None or account is None:
            raise errors.internal_error()
        return action(account, params)


Endpoints = dict[tuple[str, str], Endpoint]
"""By method and path."""


def api_endpoints(queries: PublicQueries, trading: Trading, records: AccountQueries) -> Endpoints:
    """The spot API. Weights as documented for the real venue."""
    endpoints = {
        ("GET", "ping"): Endpoint(1, public=queries.ping),
        ("GET", "time"): Endpoint(1, public=queries.time),
        ("GET", "exchangeInfo"): Endpoint(20, public=queries.exchange_info),
        ("GET", "depth"): Endpoint(weights.depth, public=queries.depth, is_snapshot=True),
        ("GET", "trades"): Endpoint(25, public=queries.trades),
        ("GET", "historicalTrades"): Endpoint(25, public=queries.historical_trades),
        ("GET", "aggTrades"): Endpoint(4, public=queries.aggregate_trades),
        ("GET", "klines"): Endpoint(2, public=queries.klines),
        ("GET", "uiKlines"): Endpoint(2, public=queries.klines),
        ("GET", "avgPrice"): Endpoint(2, public=queries.average_price),
        ("GET", "ticker/24hr"): Endpoint(weights.day_ticker, public=queries.day),
        ("GET", "ticker/tradingDay"): Endpoint(weights.window_ticker, public=queries.trading_day),
        ("GET", "ticker"): Endpoint(weights.window_ticker, public=queries.rolling),
        ("GET", "executionRules"): Endpoint(weights.execution_rules, public=queries.execution_rules),
        ("GET", "referencePrice"): Endpoint(2, public=queries.reference_price),
        ("GET", "referencePrice/calculation"): Endpoint(2, public=queries.reference_price),
        ("GET", "historicalBlockTrades"): Endpoint(25, public=queries.block_trades),
        ("GET", "ticker/price"): Endpoint(weights.simple_ticker, public=queries.price),
        ("GET", "ticker/bookTicker"): Endpoint(weights.simple_ticker, public=queries.book_ticker),
        ("POST", "order"): Endpoint(1, signed=trading.place, is_order=True),
        ("POST", "order/test"): Endpoint(weights.test_order, signed=trading.test),
        ("GET", "order"): Endpoint(4, signed=trading.order),
        ("DELETE", "order"): Endpoint(1, signed=trading.cancel),
        ("POST", "order/cancelReplace"): Endpoint(1, signed=trading.cancel_replace, is_order=True),
        ("POST", "order/oco"): Endpoint(1, signed=trading.place_legacy_oco, is_order=True),
        ("POST", "orderList/oco"): Endpoint(1, signed=trading.place_oco, is_order=True),
        ("POST", "orderList/oto"): Endpoint(1, signed=trading.place_oto, is_order=True),
        ("POST", "orderList/otoco"): Endpoint(1, signed=trading.place_otoco, is_order=True),
        ("GET", "orderList"): Endpoint(4, signed=trading.order_list),
        ("DELETE", "orderList"): Endpoint(1, signed=trading.cancel_list),
        ("GET", "openOrderList"): Endpoint(6, signed=trading.open_lists),
        ("GET", "allOrderList"): Endpoint(20, signed=trading.all_lists),
        ("PUT", "order/amend/keepPriority"): Endpoint(4, signed=trading.amend),
        ("GET", "order/amendments"): Endpoint(4, signed=records.amendments),
        ("GET", "myFilters"): Endpoint(40, signed=records.filters),
        ("GET", "myAllocations"): Endpoint(20, signed=records.allocations),
        ("GET", "openOrders"): Endpoint(weights.open_orders, signed=trading.open_orders),
        ("DELETE", "openOrders"): Endpoint(1, signed=trading.cancel_all),
        ("GET", "allOrders"): Endpoint(20, signed=trading.all_orders),
        ("GET", "account"): Endpoint(20, signed=trading.account),
        ("GET", "account/commission"): Endpoint(20, signed=trading.commission),
        ("GET", "myTrades"): Endpoint(weights.own_trades, signed=trading.trades),
        ("GET", "myPreventedMatches"): Endpoint(weights.prevented_matches, signed=trading.prevented_matches),
        ("GET", "rateLimit/order"): Endpoint(40, signed=trading.order_rate_limits),
    }
    return {(method, f"/api/v3/{path}"): endpoint for (method, path), endpoint in endpoints.items()}
