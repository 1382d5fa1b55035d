"""One message read twice: by us and by ccxt, each as plain values that can be compared.

Ours raises one of `REFUSALS` for what it does not accept. ccxt accepts nearly everything, with None for what it lacks;
what its value is then made into by our adapter over ccxt (`cex.account`) is part of the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import ccxt.pro
import msgspec

from cex.account import Account
from cex.binance import messages as m
from cex.binance import reading
from cex.connection import Connection
from cex.markets import Market
from cex.numbers import to_decimal
from cex.reports import Reports
from cex.settings import VenueSettings
from domain import InputError, VenueUnavailable
from runtime import ManualClock

REFUSALS = (msgspec.MsgspecError, InputError, VenueUnavailable, UnicodeDecodeError)
SETTINGS = VenueSettings(id="v", exchange="binance", instruments=("ETHUSDC",), asset_decimals=8)
EVENTS = {"trade", "aggTrade", "kline", "24hrTicker", "executionReport", "outboundAccountPosition", "balanceUpdate"}
"""What is told apart by its `e`."""
Values = Any


class Readings:
    """Both readers over the same markets (by the venue's symbol)."""

    def __init__(self, exchange: Any, markets: dict[str, Market]) -> None:
        self.exchange = exchange
        self.markets = markets
        by_id = {market.id: market for market in markets.values()}
        reports = Reports(lambda _event: None, lambda _order: None)
        self._account = Account(Connection(SETTINGS, ManualClock(), None), by_id, reports)
        kinds: dict[str, tuple[Callable[[bytes], Values], Callable[[Any], Values]]] = {
            "trade": (self._our_trade, self._their_trade),
            "aggTrade": (self._our_aggregate, self._their_trade),
            "kline": (self._our_candle, self._their_candle),
            "24hrTicker": (self._our_ticker, self._their_ticker),
            "bookTicker": (self._our_touch, self._their_touch),
            "executionReport": (self._our_report, self._their_report),
            "outboundAccountPosition": (self._our_position, self._their_position),
            "balanceUpdate": (self._our_change, self._their_change),
            "order": (self._our_order, self._their_order),
            "orders": (self._our_orders, lambda rows: [self._their_order(row) for row in rows]),
            "myTrades": (self._our_trades, self._their_trades),
            "account": (self._our_balances, self._their_balances),
        }
        self.kinds = {
            kind: (_only(kind, ours) if kind in EVENTS else ours, theirs) for kind, (ours, theirs) in kinds.items()
        }

    # --- market data

    def _our_trade(self, data: bytes) -> Values:
        trade = msgspec.json.decode(data, type=m.Trade)
        return self._public(trade, trade.trade_id)

    def _our_aggregate(self, data: bytes) -> Values:
        trade = msgspec.json.decode(data, type=m.AggregateTrade)
        return self._public(trade, trade.aggregate_id)

    def _public(self, trade: m.Trade | m.AggregateTrade, number: int) -> Values:
        side = "sell" if trade.is_buyer_maker else "buy"
        return trade.symbol, str(number), to_decimal(trade.price), to_decimal(trade.qty), trade.time, side

    def _their_trade(self, message: Any) -> Values:
        exchange = self.exchange
        row = exchange.parse_ws_trade(message, exchange.safe_market(message.get("s"), None, None, "spot"))
        price, qty = to_decimal(row["price"]), to_decimal(row["amount"])
        return self._symbol(row), row["id"], price, qty, row["timestamp"], row["side"]

    def _our_candle(self, data: bytes) -> Values:
        candle = msgspec.json.decode(data, type=m.Kline).candle
        texts = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        return candle.symbol, candle.interval, candle.open_time, *(float(to_decimal(text)) for text in texts)

    def _their_candle(self, message: Any) -> Values:
        exchange = self.exchange
        exchange.ohlcvs = {}
        exchange.handle_ohlcv(_CLIENT, message)
        ((symbol, frames),) = exchange.ohlcvs.items()
        ((frame, rows),) = frames.items()
        return exchange.markets[symbol]["id"], frame, *rows[-1]

    def _our_ticker(self, data: bytes) -> Values:
        t = msgspec.json.decode(data, type=m.Ticker)
        texts = (t.bid, t.bid_qty, t.ask, t.ask_qty, t.average, t.open, t.high, t.low, t.last, t.volume, t.quote_volume)
        # What is zero, ccxt computes from the rest.
        return t.symbol, t.close_time, *(to_decimal(text) or None for text in texts)

    def _their_ticker(self, message: Any) -> Values:
        row = self.exchange.parse_ws_ticker(message, "spot")
        names = ("bid", "bidVolume", "ask", "askVolume", "vwap", "open", "high", "low", "last")
        values = [row[name] for name in (*names, "baseVolume", "quoteVolume")]
        given = [message[key] for key in "bBaAwohlcvq"]
        shown = [to_decimal(value) if to_decimal(text) else None for value, text in zip(values, given, strict=True)]
        return self._symbol(row), row["timestamp"], *shown

    def _our_touch(self, data: bytes) -> Values:
        touch = msgspec.json.decode(data, type=m.BookTicker)
        texts = (touch.bid, touch.bid_qty, touch.ask, touch.ask_qty)
        return touch.symbol, *(to_decimal(text) for text in texts)

    def _their_touch(self, message: Any) -> Values:
        row = self.exchange.parse_ws_ticker(message, "spot")
        return self._symbol(row), *(to_decimal(row[name] or 0) for name in ("bid", "bidVolume", "ask", "askVolume"))

    # --- user data

    def _our_report(self, data: bytes) -> Values:
        report = msgspec.json.decode(data, type=m.ExecutionReport)
        market = self._market(report.symbol)
        executed = market.instrument.lots(to_decimal(report.executed_qty))
        fill = reading.reported_fill(market, report, 8) if report.execution == "TRADE" else None
        return report.order_name, str(report.order_id), reading.state(report.status), executed, fill

    def _their_report(self, message: Any) -> Values:
        row = self.exchange.parse_ws_order(message)
        market = self._market(self._symbol(row))
        order = self._account.snapshot(market, row)
        fill = None
        if message.get("x") == "TRADE":
            fill = self._account.fill(market, self.exchange.parse_ws_trade(message), order.client_order_id)
        return order.client_order_id, order.venue_order_id, order.state, order.executed_lots, fill

    def _our_position(self, data: bytes) -> Values:
        position = msgspec.json.decode(data, type=m.AccountPosition)
        return {reading.code(row.asset): (to_decimal(row.free), to_decimal(row.locked)) for row in position.holdings}

    def _their_position(self, message: Any) -> Values:
        held = self._their_held(message)
        return {code: (to_decimal(row["free"]), to_decimal(row["used"])) for code, row in held.items()}

    def _our_change(self, data: bytes) -> Values:
        change = msgspec.json.decode(data, type=m.BalanceUpdate)
        return {reading.code(change.asset): to_decimal(change.change)}

    def _their_change(self, message: Any) -> Values:
        return {code: to_decimal(row["free"]) for code, row in self._their_held(message).items()}

    def _their_held(self, message: Any) -> dict[str, Any]:
        self.exchange.balance = {"spot": {}}
        self.exchange.handle_balance(_CLIENT, message)
        # ccxt's summaries stand beside the assets.
        summaries = ("free", "used", "total", "info", "timestamp", "datetime", "debt")
        return {code: row for code, row in self.exchange.balance["spot"].items() if code not in summaries}

    # --- answers

    def _our_order(self, data: bytes) -> Values:
        return self.told(msgspec.json.decode(data, type=m.OrderAnswer))

    def _our_orders(self, data: bytes) -> Values:
        return [self.told(row) for row in msgspec.json.decode(data, type=list[m.OrderAnswer])]

    def told(self, row: m.OrderAnswer) -> Values:
        order = reading.snapshot(self._market(row.symbol), row)
        # ccxt gives a cancel's own id as the order's: of those, everything else is compared.
        name = "" if row.orig_client_order_id else order.client_order_id
        return name, order.venue_order_id, order.state, order.executed_lots

    def _their_order(self, row: Any) -> Values:
        parsed = self.exchange.parse_order(row)
        order = self._account.snapshot(self._market(self._symbol(parsed)), parsed)
        name = "" if row.get("origClientOrderId") else order.client_order_id
        return name, order.venue_order_id, order.state, order.executed_lots

    def _our_trades(self, data: bytes) -> Values:
        rows = msgspec.json.decode(data, type=list[m.TradeAnswer])
        return [reading.listed_fill(self._market(row.symbol), row, "ours", 8) for row in rows]

    def _their_trades(self, rows: Any) -> Values:
        parsed = [self.exchange.parse_trade(row) for row in rows]
        return [self._account.fill(self._market(self._symbol(row)), row, "ours") for row in parsed]

    def _our_balances(self, data: bytes) -> Values:
        rows = msgspec.json.decode(data, type=m.AccountAnswer).balances
        return {reading.code(row.asset): to_decimal(row.free) + to_decimal(row.locked) for row in rows}

    def _their_balances(self, answer: Any) -> Values:
        total: dict[str, Any] = self.exchange.parseBalanceCustom(answer, "spot")["total"]
        return {code: Decimal(str(value)) for code, value in total.items()}

    # --- parts

    def _symbol(self, row: Any) -> str:
        return str(self.exchange.markets[row["symbol"]]["id"])

    def _market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise InputError(f"no market {symbol}")
        return market


def _only(kind: str, read: Callable[[bytes], Values]) -> Callable[[bytes], Values]:
    """Read as our streams do, which choose the reader by the event's name."""

    def checked(data: bytes) -> Values:
        if msgspec.json.decode(data, type=m.Kind).name != kind:
            raise InputError("another event")
        return read(data)

    return checked


def ccxt_with(info: dict[str, Any]) -> Any:
    """Make ccxt's client with the markets of an exchangeInfo, without a network."""
    exchange = ccxt.pro.binance(
        {"number": str, "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}}
    )
    exchange.has["fetchCurrencies"] = False

    async def told(_params: Any = None) -> dict[str, Any]:
        return json.loads(json.dumps(info))

    exchange.publicGetExchangeInfo = told
    return exchange


_CLIENT = SimpleNamespace(
    url="ws://h/stream/ws", subscriptions={"spot": True}, resolve=lambda *_: None, reject=lambda *_: None
)
