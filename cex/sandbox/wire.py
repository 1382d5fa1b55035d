"""How orders, trades and balances look on Binance's wire: plain dicts, amounts as texts with eight decimals."""

from __future__ import annotations

from typing import Any

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT
from cex.sandbox.orders import (
    SIDES,
    BalancesChanged,
    Order,
    OrderReported,
    PreventedMatch,
    Trade,
)

JSON = dict[str, Any]
ZERO = "0.00000000"


def units(raw: int) -> str:
    """Write an amount of 1e-8 units."""
    if raw < 0:
        return "-" + units(-raw)
    return f"{raw // UNIT}.{raw % UNIT:08d}"


# --- orders, as REST and the WebSocket API tell them


def order_view(order: Order) -> JSON:
    """An order as queries return it."""
    return {
        "symbol": order.symbol.name,
        "orderId": order.id,
        "orderListId": _list_id(order),
        "clientOrderId": order.client_order_id,
        **_progress(order),
        "stopPrice": units(order.stop_price * order.symbol.tick_raw),
        "icebergQty": units(order.iceberg_lots * order.symbol.lot_raw),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": order.working_ms >= 0,
        "workingTime": order.working_ms,
        "origQuoteOrderQty": units(order.quote_budget_raw),
        "selfTradePreventionMode": order.self_trade_prevention,
        **_conditional(order),
    }


def new_order_view(order: Order, response_type: str) -> JSON:
    """The answer to a new order: ACK, RESULT or FULL."""
    view: JSON = {
        "symbol": order.symbol.name,
        "orderId": order.id,
        "orderListId": _list_id(order),
        "clientOrderId": order.client_order_id,
        "transactTime": order.updated_ms,
    }
    if response_type == "ACK":
        return view
    view |= _progress(order)
    view |= {
        "origQuoteOrderQty": units(order.quote_budget_raw),
        "workingTime": order.working_ms,
        "selfTradePreventionMode": order.self_trade_prevention,
        **_stop_and_iceberg(order),
        **_conditional(order),
    }
    if response_type == "FULL":
        view["fills"] = [
            {
                "price": units(trade.price * trade.symbol.tick_raw),
                "qty": units(trade.lots * trade.symbol.lot_raw),
                "commission": units(trade.fee_raw),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.id,
            }
            for trade in order.trades
        ]
        if order.prevented:
            view["preventedMatches"] = [
                {
                    "preventedMatchId": match.id,
                    "makerOrderId": match.maker_order_id,
                    "price": units(match.price * match.symbol.tick_raw),
                    **_prevented_lots(match),
                }
                for match in order.prevented
            ]
    return view


def canceled_view(order: Order, cancel_id: str) -> JSON:
    """The answer to a cancel: `origClientOrderId` is the order's, `clientOrderId` the cancel's own."""
    return {
        "symbol": order.symbol.name,
        "origClientOrderId": order.client_order_id,
        "orderId": order.id,
        "orderListId": _list_id(order),
        "clientOrderId": cancel_id,
        "transactTime": order.updated_ms,
        **_progress(order),
        "origQuoteOrderQty": units(order.quote_budget_raw),
        "selfTradePreventionMode": order.self_trade_prevention,
        **_stop_and_iceberg(order),
        **_conditional(order),
    }


def amended_view(order: Order, former_client_order_id: str, execution_id: int) -> JSON:
    return {
        "transactTime": order.updated_ms,
        "executionId": execution_id,
        "amendedOrder": {
            "symbol": order.symbol.name,
            "orderId": order.id,
            "orderListId": _list_id(order),
            "origClientOrderId": former_client_order_id,
            "clientOrderId": order.client_order_id,
            "price": units(order.price * order.symbol.tick_raw),
            "qty": units(order.lots * order.symbol.lot_raw),
            "executedQty": units(order.filled_lots * order.symbol.lot_raw),
            "preventedQty": units(order.prevented_lots * order.symbol.lot_raw),
            "quoteOrderQty": ZERO,
            "cumulativeQuoteQty": units(order.quote_filled_raw),
            "status": order.status.value,
            "timeInForce": order.time_in_force,
            "type": order.type,
            "side": SIDES[order.side],
            "workingTime": order.working_ms,
            "selfTradePreventionMode": order.self_trade_prevention,
        },
    }


def _progress(order: Order) -> JSON:
    tick, lot = order.symbol.tick_raw, order.symbol.lot_raw
    return {
        "price": units(order.price * tick),
        "origQty": units(order.lots * lot),
        "executedQty": units(order.filled_lots * lot),
        # Binance's own spelling.
        "cummulativeQuoteQty": units(order.quote_filled_raw),
        "status": order.status.value,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": SIDES[order.side],
    }


def _list_id(order: Order) -> int:
    return -1 if order.order_list is None else order.order_list.id


def _stop_and_iceberg(order: Order) -> JSON:
    view: JSON = {"stopPrice": units(order.stop_price * order.symbol.tick_raw)} if order.stop_price else {}
    if order.iceberg_lots:
        view["icebergQty"] = units(order.iceberg_lots * order.symbol.lot_raw)
    return view


def _conditional(order: Order) -> JSON:
    """Fields that an order shows only if they mean something for it."""
    view: JSON = {}
    if order.trailing_bips:
        view |= {"trailingDelta": order.trailing_bips, "trailingTime": order.trailing_since_ms or -1}
    if order.strategy_id is not None:
        view["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        view["strategyType"] = order.strategy_type
    if order.good_till_ms:
        view["goodTillDate"] = order.good_till_ms
    if order.prevented_match_id >= 0:
        view["preventedMatchId"] = order.prevented_match_id
        view["preventedQuantity"] = units(order.prevented_lots * order.symbol.lot_raw)
    return view


def _prevented_lots(match: PreventedMatch) -> JSON:
    sides = {"takerPreventedQuantity": match.taker_lots, "makerPreventedQuantity": match.maker_lots}
    return {name: units(lots * match.symbol.lot_raw) for name, lots in sides.items() if lots is not None}


def prevented_match_view(match: PreventedMatch) -> JSON:
    return {
        "symbol": match.symbol.name,
        "preventedMatchId": match.id,
        "takerOrderId": match.taker_order_id,
        "makerSymbol": match.symbol.name,
        "makerOrderId": match.maker_order_id,
        "tradeGroupId": -1,
        "selfTradePreventionMode": match.mode,
        "price": units(match.price * match.symbol.tick_raw),
        **_prevented_lots(match),
        "transactTime": match.time_ms,
    }


def own_trade_view(trade: Trade) -> JSON:
    return {
        "symbol": trade.symbol.name,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": trade.order_list_id,
        "price": units(trade.price * trade.symbol.tick_raw),
        "qty": units(trade.lots * trade.symbol.lot_raw),
        "quoteQty": units(trade.quote_raw),
        "commission": units(trade.fee_raw),
        "commissionAsset": trade.fee_asset,
        "time": trade.time_ms,
        "isBuyer": trade.is_buyer,
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def fee_rate(pips: int) -> str:
    """Write a fee of millionths as a fraction: 1000 is 0.00100000."""
    return units(pips * (UNIT // 1_000_000))


def account_view(account: Account, maker_fee_pips: int, taker_fee_pips: int, *, omit_zero: bool) -> JSON:
    return {
        "makerCommission": int(maker_fee_pips / 100),
        "takerCommission": int(taker_fee_pips / 100),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": fee_rate(maker_fee_pips),
            "taker": fee_rate(taker_fee_pips),
            "buyer": ZERO,
            "seller": ZERO,
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": units(balance.free), "locked": units(balance.locked)}
            for asset, balance in sorted(account.balances.items())
            if not omit_zero or balance.free or balance.locked
        ],
        "permissions": ["SPOT"],
        "uid": account.id,
    }


# --- user data events


def execution_report(event: OrderReported) -> JSON:
    order, trade = event.order, event.trade
    tick, lot = order.symbol.tick_raw, order.symbol.lot_raw
    report: JSON = {
        "e": "executionReport",
        "E": event.time_ms,
        "s": order.symbol.name,
        "c": event.client_order_id,
        "S": SIDES[order.side],
        "o": order.type,
        "f": order.time_in_force,
        "q": units(order.lots * lot),
        "p": units(order.price * tick),
        "P": units(order.stop_price * tick),
        "F": units(order.iceberg_lots * lot),
        "g": -1 if order.order_list is None else order.order_list.id,
        "C": event.original_client_order_id,
        "x": event.execution,
        "X": event.status.value,
        "r": "NONE",
        "i": order.id,
        "l": units(trade.lots * lot) if trade else ZERO,
        "z": units(event.filled_lots * lot),
        "L": units(trade.price * tick) if trade else ZERO,
        "n": units(trade.fee_raw) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": event.time_ms,
        "t": trade.id if trade else -1,
        "I": event.execution_id,
        "w": event.working_ms >= 0 and event.status.is_open and order.price > 0,
        "m": trade.is_maker if trade else False,
        "M": trade is not None,
        "O": order.created_ms,
        "Z": units(event.quote_filled_raw),
        "Y": units(trade.quote_raw) if trade else ZERO,
        "Q": units(order.quote_budget_raw),
        "V": order.self_trade_prevention,
    }
    if event.working_ms >= 0:
        report["W"] = event.working_ms
    if event.prevented_lots:
        report["A"] = units(event.prevented_lots * lot)
    if event.prevented is not None:
        report |= _prevention(event.prevented, order.id, event.last_prevented_lots)
    if order.trailing_bips:
        report["d"] = order.trailing_bips
        if order.trailing_since_ms:
            report["D"] = order.trailing_since_ms
    if order.strategy_id is not None:
        report["j"] = order.strategy_id
    if order.strategy_type is not None:
        report["J"] = order.strategy_type
    return report


def _prevention(match: PreventedMatch, order_id: int, lots: int) -> JSON:
    spec, price = match.symbol, match.price
    return {
        "v": match.id,
        "B": units(lots * spec.lot_raw),
        "U": match.maker_order_id if order_id == match.taker_order_id else match.taker_order_id,
        "Cs": spec.name,
        "pl": units(lots * spec.lot_raw),
        "pL": units(price * spec.tick_raw),
        "pY": units(lots * price * spec.notional_unit),
    }


def account_position(event: BalancesChanged) -> JSON:
    return {
        "e": "outboundAccountPosition",
        "E": event.time_ms,
        "u": event.time_ms,
        "B": [{"a": asset, "f": units(free), "l": units(locked)} for asset, free, locked in event.balances],
    }
