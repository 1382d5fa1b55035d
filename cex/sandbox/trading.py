"""What an account may do and ask, from text parameters to the exchange and back; shared by both API doors."""

from __future__ import annotations

from typing import Any, Final

import capstan_native as native

from cex.sandbox import errors, wire
from cex.sandbox.accounts import Account
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import DEFAULT_PREVENTION, PREVENTION_CODES, TIME_IN_FORCE_CODES, NewOrder, Order
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits

JSON = Any
_LIMIT_DEFAULT: Final = 500
_LIMIT_MAX: Final = 1_000
_UNSUPPORTED: Final = (
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "pegPriceType",
    "pegOffsetType",
    "pegOffsetValue",
)
"""Parameters of order types the sandbox does not have; ignoring one would place a different order."""


class Trading:
    """Signed commands and queries of one exchange."""

    def __init__(self, exchange: Exchange, limits: RateLimits) -> None:
        self._exchange = exchange
        self._limits = limits
        self._last_cancel = 0

    # --- commands

    def place(self, account: Account, params: Params) -> JSON:
        symbol, request = params.required("symbol"), self._new_order(params)
        self._exchange.market(symbol)
        response_type = _response_type(params, request.type)
        self._limits.use_order(account.name, self._exchange.clock_ms())
        order = self._exchange.place(account, symbol, request)
        return wire.new_order_view(order, response_type)

    def test(self, account: Account, params: Params) -> JSON:
        """Check a new order as `place` does, but for the balance."""
        market, request = self._exchange.market(params.required("symbol")), self._new_order(params)
        _response_type(params, request.type)
        self._exchange.check(account, market, request)
        if params.text("computeCommissionRates") == "true":
            return self.commission(account, params)
        return {}

    def cancel(self, account: Account, params: Params) -> JSON:
        order = self._open_order(account, params, "orderId", "origClientOrderId")
        return self._cancel(order, params.client_order_id("newClientOrderId"))

    def cancel_all(self, account: Account, params: Params) -> JSON:
        orders = self._open_orders(account, params.required("symbol"))
        if not orders:
            raise errors.unknown_order_sent()
        return [self._cancel(order, None) for order in orders]

    def cancel_replace(self, account: Account, params: Params) -> JSON:
        """Cancel an order and place another. Both are checked before either happens, as on the real venue."""
        mode = params.required("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise errors.invalid_parameter("cancelReplaceMode")
        symbol, request = params.required("symbol"), self._new_order(params)
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
        return wire.account_view(account, exchange.maker_fee_pips, exchange.taker_fee_pips, omit_zero=omit_zero)

    def commission(self, _account: Account, params: Params) -> JSON:
        market = self._exchange.market(params.required("symbol"))
        none = {"maker": wire.ZERO, "taker": wire.ZERO, "buyer": wire.ZERO, "seller": wire.ZERO}
        maker = wire.fee_rate(self._exchange.maker_fee_pips)
        taker = wire.fee_rate(self._exchange.taker_fee_pips)
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

    def prevented_matches(self, _account: Account, params: Params) -> JSON:
        """None are kept: an order ended by prevention shows it in its status."""
        self._exchange.market(params.required("symbol"))
        return []

    # --- parts

    def _new_order(self, params: Params) -> NewOrder:
        side = {"BUY": native.BUY, "SELL": native.SELL}.get(params.required("side"))
        if side is None:
            raise errors.invalid_side()
        params.refuse(*_UNSUPPORTED)
        type_ = params.required("type")
        prevention = params.choice("selfTradePreventionMode", PREVENTION_CODES, DEFAULT_PREVENTION)
        client_order_id = params.client_order_id("newClientOrderId") or ""
        if type_ == "MARKET":
            params.refuse("price", "timeInForce")
            if ("quantity" in params) == ("quoteOrderQty" in params):
                raise errors.missing_parameter("quantity")
            qty_raw, quote_raw = params.amount("quantity") or 0, params.amount("quoteOrderQty") or 0
            if not qty_raw and not quote_raw:
                raise errors.filter_failure("LOT_SIZE" if "quantity" in params else "NOTIONAL")
            return NewOrder(
                side,
                type_,
                "GTC",
                qty_raw=qty_raw,
                quote_qty_raw=quote_raw,
                client_order_id=client_order_id,
                self_trade_prevention=prevention,
            )
        if type_ not in ("LIMIT", "LIMIT_MAKER"):
            raise errors.invalid_order_type()
        params.refuse("quoteOrderQty")
        time_in_force = "GTC"
        if type_ == "LIMIT":
            time_in_force = params.required("timeInForce")
            if time_in_force not in TIME_IN_FORCE_CODES:
                raise errors.invalid_time_in_force()
        else:
            params.refuse("timeInForce")
        params.required("price")
        params.required("quantity")
        return NewOrder(
            side,
            type_,
            time_in_force,
            price_raw=params.amount("price") or 0,
            qty_raw=params.amount("quantity") or 0,
            client_order_id=client_order_id,
            self_trade_prevention=prevention,
        )

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

    def _fresh_id(self, prefix: str) -> str:
        self._last_cancel += 1
        return f"{prefix}-{self._last_cancel}"


def _response_type(params: Params, order_type: str) -> str:
    default = "ACK" if order_type == "LIMIT_MAKER" else "FULL"
    return params.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), default)


def _limit(params: Params) -> int:
    return min(params.integer("limit", least=1) or _LIMIT_DEFAULT, _LIMIT_MAX)
