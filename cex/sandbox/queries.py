"""Public questions: what anyone may ask about markets, from text parameters to Binance's answers."""

from __future__ import annotations

import json
from typing import Any, Final

from cex.sandbox import errors, wire
from cex.sandbox.candles import INTERVALS_MS
from cex.sandbox.exchange import Exchange
from cex.sandbox.filters import filter_views
from cex.sandbox.market import Market
from cex.sandbox.orders import DEFAULT_PREVENTION, PREVENTION_CODES, TYPE_CODES
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits

JSON = Any
_DEPTH_MAX: Final = 5_000
_TRADES_MAX: Final = 1_000


class PublicQueries:
    """Answers that need no account."""

    def __init__(self, exchange: Exchange, limits: RateLimits) -> None:
        self._exchange = exchange
        self._limits = limits

    def ping(self, _params: Params) -> JSON:
        return {}

    def time(self, _params: Params) -> JSON:
        return {"serverTime": self._exchange.clock_ms()}

    def exchange_info(self, params: Params) -> JSON:
        return {
            "timezone": "UTC",
            "serverTime": self._exchange.clock_ms(),
            "rateLimits": self._limits.view(),
            "exchangeFilters": [],
            "symbols": [self._symbol_view(market) for market in self._chosen(params)],
        }

    def depth(self, params: Params) -> JSON:
        limit = params.integer("limit", least=1) or 100
        return wire.depth_view(self._market(params), min(limit, _DEPTH_MAX))

    def trades(self, params: Params) -> JSON:
        trades = list(self._market(params).trades)
        return [wire.trade_view(trade) for trade in trades[-self._limit(params) :]]

    def historical_trades(self, params: Params) -> JSON:
        trades, from_id, limit = list(self._market(params).trades), params.integer("fromId"), self._limit(params)
        if from_id is not None:
            return [wire.trade_view(trade) for trade in trades if trade.id >= from_id][:limit]
        return [wire.trade_view(trade) for trade in trades[-limit:]]

    def aggregate_trades(self, params: Params) -> JSON:
        market, limit = self._market(params), self._limit(params)
        from_id = params.integer("fromId")
        start, end = params.integer("startTime"), params.integer("endTime")
        found = [
            trade
            for trade in market.aggregates
            if (from_id is None or trade.id >= from_id)
            and (start is None or trade.time_ms >= start)
            and (end is None or trade.time_ms <= end)
        ]
        forward = from_id is not None or start is not None
        return [wire.aggregate_view(trade) for trade in (found[:limit] if forward else found[-limit:])]

    def klines(self, params: Params) -> JSON:
        market = self._market(params)
        interval = params.required("interval")
        if interval not in INTERVALS_MS:
            raise errors.invalid_interval()
        start, end = params.integer("startTime"), params.integer("endTime")
        candles = market.candles.select(interval, start, end, self._limit(params))
        return [wire.candle_view(candle, market.spec) for candle in candles]

    def day(self, params: Params) -> JSON:
        now = self._exchange.clock_ms()
        return self._one_or_all(params, lambda market: wire.day_view(market, now))

    def price(self, params: Params) -> JSON:
        return self._one_or_all(
            params,
            lambda market: {
                "symbol": market.spec.name,
                "price": wire.units(market.last_price * market.spec.tick_raw),
            },
        )

    def book_ticker(self, params: Params) -> JSON:
        return self._one_or_all(params, wire.book_ticker_view)

    def average_price(self, params: Params) -> JSON:
        market, now = self._market(params), self._exchange.clock_ms()
        price = wire.units(market.average_price(now) * market.spec.tick_raw)
        return {"mins": 5, "price": price, "closeTime": now}

    def _market(self, params: Params) -> Market:
        return self._exchange.market(params.required("symbol"))

    def _limit(self, params: Params) -> int:
        return min(params.integer("limit", least=1) or 500, _TRADES_MAX)

    def _one_or_all(self, params: Params, view: Any) -> JSON:
        markets = self._chosen(params)
        if params.text("symbol") is not None:
            return view(markets[0])
        return [view(market) for market in markets]

    def _chosen(self, params: Params) -> list[Market]:
        symbol, symbols = params.text("symbol"), params.text("symbols")
        if symbol is not None:
            return [self._exchange.market(symbol)]
        if symbols is None:
            return list(self._exchange.markets.values())
        try:
            names = json.loads(symbols)
        except (ValueError, RecursionError) as exc:
            raise errors.illegal_characters("symbols", '["BTCUSDT","BNBUSDT"]') from exc
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise errors.illegal_characters("symbols", '["BTCUSDT","BNBUSDT"]')
        return [self._exchange.market(name) for name in names]

    def _symbol_view(self, market: Market) -> JSON:
        spec = market.spec
        return {
            "symbol": spec.name,
            "status": "TRADING",
            "baseAsset": spec.base,
            "baseAssetPrecision": 8,
            "quoteAsset": spec.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": list(TYPE_CODES),
            "icebergAllowed": False,
            "ocoAllowed": True,
            "otoAllowed": True,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filter_views(spec, self._exchange.limits),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": DEFAULT_PREVENTION,
            "allowedSelfTradePreventionModes": list(PREVENTION_CODES),
        }
