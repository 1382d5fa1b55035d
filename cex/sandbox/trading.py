"""What an account may do and ask, from text parameters to the exchange and back; shared by both API doors."""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox import errors, listviews, requests, wire
from cex.sandbox.accounts import Account
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import ListKind, NewOrderList, Order, OrderList
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits

JSON = Any
_LIMIT_DEFAULT: Final = 500
_LIMIT_MAX: Final = 1_000
_SPAN_MAX_MS: Final = 86_400_000


class Trading:
    """Signed commands and queries of one exchange."""

    def __init__(self, exchange: Exchange, limits: RateLimits) -> None:
        self._exchange = exchange
        self._limits = limits
        self._last_cancel = 0

    # --- commands

    def place(self, account: Account, params: Params) -> JSON:
        symbol, request = params.required("symbol"), requests.new_order(params, self._exchange.clock_ms())
        self._exchange.market(symbol)
        response_type = _response_type(params, request.type)
        self._limits.use_order(account.name, self._exchange.clock_ms())
        order = self._exchange.place(account, symbol, request)
        return wire.new_order_view(order, response_type)

    def test(self, account: Account, params: Params) -> JSON:
        """Check a new order as `place` does, but for the balance."""
        market, request = (
            self._exchange.market(params.required("symbol")),
            requests.new_order(params, self._exchange.clock_ms()),
        )
        _response_type(params, request.type)
        self._exchange.check(account, market, request)
        if params.text("computeCommissionRates") == "true":
            return self.commission(account, params)
        return {}

    def cancel(self, account: Account, params: Params) -> JSON:
        order = self._open_order(account, params, "orderId", "origClientOrderId")
        return self._cancel(order, params.client_order_id("newClientOrderId"))

    def cancel_all(self, account: Account, params: Params) -> JSON:
        """Cancel whatever is open: single orders, and lists whole."""
        orders = self._open_orders(account, params.required("symbol"))
        if not orders:
            raise errors.unknown_order_sent()
        answers = []
        for order in orders:
            if not order.status.is_open:
                continue  # It went with its list.
            if order.order_list is None:
                answers.append(self._cancel(order, None))
            else:
                answers.append(self._cancel_list(order.order_list, None))
        return answers

    def cancel_replace(self, account: Account, params: Params) -> JSON:
        """Cancel an order and place another. Both are checked before either happens, as on the real venue."""
        mode = params.required("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise errors.invalid_parameter("cancelReplaceMode")
        symbol, request = params.required("symbol"), requests.new_order(params, self._exchange.clock_ms())
        response_type = _response_type(params, request.type)
        cancel_id = params.client_order_id("cancelNewClientOrderId")
        market = self._exchange.market(symbol)
        self._limits.use_order(account.name, self._exchange.clock_ms())
        outcome: dict[str, Any] = {
            "cancelResult": "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": None,
            "newOrderResponse": None,
        }
        try:
            old = self._open_order(account, params, "cancelOrderId", "cancelOrigClientOrderId")
        except ApiError as exc:
            if exc.code != errors.unknown_order_sent().code:
                raise
            outcome["cancelResponse"] = exc.view()
            if mode == "STOP_ON_FAILURE":
                raise ApiError(-2022, "Order cancel-replace failed.", data=outcome) from exc
        else:
            self._exchange.check(account, market, request, replacing=old)
            outcome |= {"cancelResult": "SUCCESS", "cancelResponse": self._cancel(old, cancel_id)}
        try:
            order = self._exchange.place(account, symbol, request)
        except ApiError as exc:
            outcome |= {"newOrderResult": "FAILURE", "newOrderResponse": exc.view()}
            if outcome["cancelResult"] == "SUCCESS":
                message = "Order cancel-replace partially failed."
                raise ApiError(-2021, message, http_status=409, data=outcome) from exc
            raise ApiError(-2022, "Order cancel-replace failed.", data=outcome) from exc
        outcome |= {"newOrderResult": "SUCCESS", "newOrderResponse": wire.new_order_view(order, response_type)}
        if outcome["cancelResult"] == "FAILURE":
            message = "Order cancel-replace partially failed."
            raise ApiError(-2021, message, http_status=409, data=outcome)
        return outcome

    def amend(self, account: Account, params: Params) -> JSON:
        params.required("newQty")
        qty_raw = params.amount("newQty") or 0
        order = self._open_order(account, params, "orderId", "origClientOrderId")
        former = order.client_order_id
        self._exchange.amend(order, qty_raw, params.client_order_id("newClientOrderId") or self._fresh_id("a"))
        return wire.amended_view(order, former, self._exchange.last_execution_id)

    # --- order lists

    def place_oco(self, account: Account, params: Params) -> JSON:
        return self._place_list(account, params, requests.new_list(ListKind.OCO, params, self._exchange.clock_ms()))

    def place_oto(self, account: Account, params: Params) -> JSON:
        return self._place_list(account, params, requests.new_list(ListKind.OTO, params, self._exchange.clock_ms()))

    def place_otoco(self, account: Account, params: Params) -> JSON:
        return self._place_list(account, params, requests.new_list(ListKind.OTOCO, params, self._exchange.clock_ms()))

    def place_legacy_oco(self, account: Account, params: Params) -> JSON:
        return self._place_list(account, params, requests.legacy_oco(params, self._exchange.clock_ms()))

    def cancel_list(self, account: Account, params: Params) -> JSON:
        self._exchange.market(params.required("symbol"))
        order_list = self._find_list(account, params, "listClientOrderId")
        if order_list is None or order_list.is_done or order_list.symbol.name != params.required("symbol"):
            raise errors.unknown_order_sent()
        return self._cancel_list(order_list, params.client_order_id("newClientOrderId"))

    def order_list(self, account: Account, params: Params) -> JSON:
        order_list = self._find_list(account, params, "origClientOrderId")
        if order_list is None:
            raise errors.unknown_order_list()
        return listviews.list_view(order_list)

    def open_lists(self, account: Account, _params: Params) -> JSON:
        return [listviews.list_view(order_list) for order_list in account.open_lists.values()]

    def all_lists(self, account: Account, params: Params) -> JSON:
        limit, from_id = _limit(params), params.integer("fromId")
        start, end = params.integer("startTime"), params.integer("endTime")
        if from_id is not None and (start is not None or end is not None):
            raise errors.parameter_not_required("fromId")
        found = [
            order_list
            for order_list in account.lists.values()
            if (from_id is None or order_list.id >= from_id)
            and (start is None or order_list.created_ms >= start)
            and (end is None or order_list.created_ms <= end)
        ]
        forward = from_id is not None or start is not None
        return [listviews.list_view(each) for each in (found[:limit] if forward else found[-limit:])]

    # --- queries

    def order(self, account: Account, params: Params) -> JSON:
        order = self._find(account, params, "orderId", "origClientOrderId")
        if order is None:
            raise errors.order_does_not_exist()
        return wire.order_view(order)

    def open_orders(self, account: Account, params: Params) -> JSON:
        return [wire.order_view(order) for order in self._open_orders(account, params.text("symbol"))]

    def all_orders(self, account: Account, params: Params) -> JSON:
        market, limit = self._exchange.market(params.required("symbol")), _limit(params)
        from_id = params.integer("orderId")
        start, end = params.integer("startTime"), params.integer("endTime")
        _check_span(start, end)
        found = [
            order
            for order in account.orders.values()
            if order.symbol is market.spec
            and (from_id is None or order.id >= from_id)
            and (start is None or order.created_ms >= start)
            and (end is None or order.created_ms <= end)
        ]
        forward = from_id is not None or start is not None
        return [wire.order_view(order) for order in (found[:limit] if forward else found[-limit:])]

    def trades(self, account: Account, params: Params) -> JSON:
        market, limit = self._exchange.market(params.required("symbol")), _limit(params)
        from_id, order_id = params.integer("fromId"), params.integer("orderId")
        start, end = params.integer("startTime"), params.integer("endTime")
        if (from_id is not None or order_id is not None) and (start is not None or end is not None):
            raise errors.bad_combination()
        _check_span(start, end)
        found = [
            trade
            for trade in account.trades.get(market.spec.name, ())
            if (from_id is None or trade.id >= from_id)
            and (order_id is None or trade.order_id == order_id)
            and (start is None or trade.time_ms >= start)
            and (end is None or trade.time_ms <= end)
        ]
        forward = from_id is not None or start is not None
        return [wire.own_trade_view(trade) for trade in (found[:limit] if forward else found[-limit:])]

    def account(self, account: Account, params: Params) -> JSON:
        omit_zero = params.text("omitZeroBalances") == "true"
        exchange = self._exchange
        return wire.account_view(account, *exchange.fee_pips(account), omit_zero=omit_zero)

    def commission(self, account: Account, params: Params) -> JSON:
        market = self._exchange.market(params.required("symbol"))
        none = {"maker": wire.ZERO, "taker": wire.ZERO, "buyer": wire.ZERO, "seller": wire.ZERO}
        maker, taker = (wire.fee_rate(pips) for pips in self._exchange.fee_pips(account))
        return {
            "symbol": market.spec.name,
            "standardCommission": none | {"maker": maker, "taker": taker},
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": wire.ZERO,
            },
        }

    def order_rate_limits(self, account: Account, _params: Params) -> JSON:
        return self._limits.order_view(account.name, self._exchange.clock_ms())

    def prevented_matches(self, account: Account, params: Params) -> JSON:
        market, limit = self._exchange.market(params.required("symbol")), _limit(params)
        match_id, order_id = params.integer("preventedMatchId"), params.integer("orderId")
        from_id = params.integer("fromPreventedMatchId")
        if match_id is None and order_id is None:
            raise ApiError(-1102, "Param 'preventedMatchId' or 'orderId' must be sent, but both were empty/null!")
        return [
            wire.prevented_match_view(match)
            for match in account.prevented.get(market.spec.name, ())
            if match_id in (None, match.id)
            and order_id in (None, match.taker_order_id, match.maker_order_id)
            and (from_id is None or match.id >= from_id)
        ][:limit]

    # --- parts

    def _find(self, account: Account, params: Params, id_name: str, client_id_name: str) -> Order | None:
        """Find an order of the account by its id or, without one, by its client order id."""
        market = self._exchange.market(params.required("symbol"))
        order_id, client_order_id = params.integer(id_name), params.text(client_id_name)
        if order_id is not None:
            order = account.orders.get(order_id)
            if order is not None and client_order_id not in (None, order.client_order_id):
                return None
        elif client_order_id is not None:
            order = account.by_client_id.get(client_order_id)
        else:
            raise ApiError(-1102, f"Param '{client_id_name}' or '{id_name}' must be sent, but both were empty/null!")
        return order if order is not None and order.symbol is market.spec else None

    def _open_order(self, account: Account, params: Params, id_name: str, client_id_name: str) -> Order:
        order = self._find(account, params, id_name, client_id_name)
        restriction = params.choice("cancelRestrictions", ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"), "")
        if order is None or not order.status.is_open:
            raise errors.unknown_order_sent()
        if restriction and restriction != f"ONLY_{order.status}":
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
        return order

    def _open_orders(self, account: Account, symbol: str | None) -> list[Order]:
        spec = None if symbol is None else self._exchange.market(symbol).spec
        return [order for order in account.open_orders.values() if spec is None or order.symbol is spec]

    def _cancel(self, order: Order, cancel_id: str | None) -> JSON:
        cancel_id = cancel_id or self._fresh_id("c")
        return wire.canceled_view(self._exchange.cancel(order, cancel_id), cancel_id)

    def _place_list(self, account: Account, params: Params, request: NewOrderList) -> JSON:
        symbol = params.required("symbol")
        self._exchange.market(symbol)
        response_type = params.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), "RESULT")
        for _ in request.orders:
            self._limits.use_order(account.name, self._exchange.clock_ms())
        order_list = self._exchange.place_list(account, symbol, request)
        return listviews.new_list_view(order_list, response_type)

    def _cancel_list(self, order_list: OrderList, cancel_id: str | None) -> JSON:
        cancel_id = cancel_id or self._fresh_id("c")
        first_open = next(order for order in order_list.orders if order.status.is_open)
        self._exchange.cancel(first_open, cancel_id)
        return listviews.canceled_list_view(order_list, cancel_id)

    def _find_list(self, account: Account, params: Params, client_id_name: str) -> OrderList | None:
        """Find an order list of the account by its id or, without one, by its client id."""
        list_id, client_id = params.integer("orderListId"), params.text(client_id_name)
        if list_id is not None:
            return account.lists.get(list_id)
        if client_id is not None:
            return account.lists_by_client_id.get(client_id)
        raise ApiError(-1102, f"Param '{client_id_name}' or 'orderListId' must be sent, but both were empty/null!")

    def _fresh_id(self, prefix: str) -> str:
        self._last_cancel += 1
        return f"{prefix}-{self._last_cancel}"


def _response_type(params: Params, order_type: str) -> str:
    default = "FULL" if order_type in ("LIMIT", "MARKET") else "ACK"
    return params.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), default)


def _check_span(start_ms: int | None, end_ms: int | None) -> None:
    if start_ms is not None and end_ms is not None and end_ms - start_ms > _SPAN_MAX_MS:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")


def _limit(params: Params) -> int:
    return min(params.integer("limit", least=1) or _LIMIT_DEFAULT, _LIMIT_MAX)
