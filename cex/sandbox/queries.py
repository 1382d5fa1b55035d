"""Public questions: what anyone may ask about markets, from text parameters to Binance's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from cex.sandbox import errors, marketviews, wire
from cex.sandbox.candles import INTERVALS_MS
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.filters import filter_views
from cex.sandbox.market import DAY_MS, Market
from cex.sandbox.orders import DEFAULT_PREVENTION, PREVENTION_CODES, TYPE_CODES
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits
from cex.sandbox.windows import rolling_open_ms, trading_day_open_ms, window_ms, window_view, zone_ms

JSON = Any
_DEPTH_MAX: Final = 5_000
_TRADES_MAX: Final = 1_000
_STATUSES: Final = ("TRADING", "HALT", "BREAK")


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
        markets, permissions = self._chosen(params), _names(params, "permissions")
        names_symbols = "symbol" in params or "symbols" in params
        if names_symbols and (permissions is not None or "symbolStatus" in params):
            raise errors.bad_combination()
        if permissions is not None and "SPOT" not in permissions:
            markets = []
        with_sets = params.choice("showPermissionSets", ("true", "false"), "true") == "true"
        return {
            "timezone": "UTC",
            "serverTime": self._exchange.clock_ms(),
            "rateLimits": self._limits.view(),
            "exchangeFilters": [],
            "symbols": [self._symbol_view(market, with_permission_sets=with_sets) for market in markets],
        }

    def execution_rules(self, params: Params) -> JSON:
        """None: prices are bound by PERCENT_PRICE_BY_SIDE alone."""
        if sum(name in params for name in ("symbol", "symbols", "symbolStatus")) > 1:
            raise errors.bad_combination()
        return {"symbolRules": [{"symbol": market.spec.name, "rules": []} for market in self._chosen(params)]}

    def reference_price(self, params: Params) -> JSON:
        """Refuse: no symbol has one."""
        self._market(params)
        raise errors.no_reference_price()

    def block_trades(self, params: Params) -> JSON:
        """None: everything trades on the book."""
        self._market(params)
        return []

    def depth(self, params: Params) -> JSON:
        limit = params.integer("limit", least=1) or 100
        return marketviews.depth_view(self._market(params), min(limit, _DEPTH_MAX))

    def trades(self, params: Params) -> JSON:
        trades = list(self._market(params).trades)
        return [marketviews.trade_view(trade) for trade in trades[-self._limit(params) :]]

    def historical_trades(self, params: Params) -> JSON:
        trades, from_id, limit = list(self._market(params).trades), params.integer("fromId"), self._limit(params)
        if from_id is not None:
            return [marketviews.trade_view(trade) for trade in trades if trade.id >= from_id][:limit]
        return [marketviews.trade_view(trade) for trade in trades[-limit:]]

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
        return [marketviews.aggregate_view(trade) for trade in (found[:limit] if forward else found[-limit:])]

    def klines(self, params: Params) -> JSON:
        market = self._market(params)
        interval = params.required("interval")
        if interval not in INTERVALS_MS:
            raise errors.invalid_interval()
        start, end = params.integer("startTime"), params.integer("endTime")
        zone = params.text("timeZone")
        offset_ms = zone_ms(zone) if zone is not None else 0
        candles = market.candles.select(interval, start, end, self._limit(params), offset_ms)
        return [marketviews.candle_view(candle, market.spec) for candle in candles]

    def day(self, params: Params) -> JSON:
        now, is_mini = self._exchange.clock_ms(), _is_mini(params)
        if is_mini:
            return self._one_or_all(params, lambda market: window_view(market, now - DAY_MS, now, is_mini=True))
        return self._one_or_all(params, lambda market: marketviews.day_view(market, now))

    def rolling(self, params: Params) -> JSON:
        """`ticker`: a window of a minute to seven days."""
        now, is_mini = self._exchange.clock_ms(), _is_mini(params)
        open_ms = rolling_open_ms(now, window_ms(params.text("windowSize") or "1d"))
        return self._named(params, lambda market: window_view(market, open_ms, now, is_mini=is_mini))

    def trading_day(self, params: Params) -> JSON:
        is_mini, zone = _is_mini(params), params.text("timeZone")
        open_ms = trading_day_open_ms(self._exchange.clock_ms(), zone_ms(zone) if zone is not None else 0)
        close_ms = open_ms + DAY_MS - 1
        return self._named(params, lambda market: window_view(market, open_ms, close_ms, is_mini=is_mini))

    def price(self, params: Params) -> JSON:
        return self._one_or_all(
            params,
            lambda market: {
                "symbol": market.spec.name,
                "price": wire.units(market.last_price * market.spec.tick_raw),
            },
        )

    def book_ticker(self, params: Params) -> JSON:
        return self._one_or_all(params, marketviews.book_ticker_view)

    def average_price(self, params: Params) -> JSON:
        market, now = self._market(params), self._exchange.clock_ms()
        price = wire.units(market.average_price(now) * market.spec.tick_raw)
        return {"mins": 5, "price": price, "closeTime": now}

    def _market(self, params: Params) -> Market:
        params.required("symbol")
        return self._chosen(params)[0]

    def _limit(self, params: Params) -> int:
        return min(params.integer("limit", least=1) or 500, _TRADES_MAX)

    def _one_or_all(self, params: Params, view: Callable[[Market], JSON]) -> JSON:
        markets = self._chosen(params)
        if params.text("symbol") is not None:
            return view(markets[0])
        return [view(market) for market in markets]

    def _named(self, params: Params, view: Callable[[Market], JSON]) -> JSON:
        """As `_one_or_all`, where all is not offered."""
        if "symbol" not in params and "symbols" not in params:
            raise ApiError(-1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!")
        return self._one_or_all(params, view)

    def _chosen(self, params: Params) -> list[Market]:
        """The markets a request names, or all; those that trade, which all of them do."""
        symbol, names = params.text("symbol"), _names(params, "symbols")
        if symbol is not None and names is not None:
            raise errors.bad_combination()
        status = params.text("symbolStatus") or "TRADING"
        if status not in _STATUSES:
            raise errors.invalid_symbol_status()
        if symbol is not None:
            market = self._exchange.market(symbol)
            if status != "TRADING":
                raise errors.symbol_status_differs()
            return [market]
        if names is not None and len(set(names)) != len(names):
            raise errors.duplicate_symbols()
        markets = (
            [self._exchange.market(name) for name in names] if names is not None else self._exchange.markets.values()
        )
        return list(markets) if status == "TRADING" else []

    def _symbol_view(self, market: Market, *, with_permission_sets: bool) -> JSON:
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
            "icebergAllowed": True,
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
            "permissionSets": [["SPOT"]] if with_permission_sets else [],
            "defaultSelfTradePreventionMode": DEFAULT_PREVENTION,
            "allowedSelfTradePreventionModes": list(PREVENTION_CODES),
        }


def _is_mini(params: Params) -> bool:
    kind = params.text("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise errors.invalid_ticker_type()
    return kind == "MINI"


def _names(params: Params, name: str) -> list[str] | None:
    """A list of names in JSON; for permissions a bare name will do."""
    text = params.text(name)
    if text is None:
        return None
    if name == "permissions" and text.isalnum():
        return [text]
    example = '["BTCUSDT","BNBUSDT"]' if name == "symbols" else '["SPOT","MARGIN"]'
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise errors.illegal_characters(name, example) from exc
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise errors.illegal_characters(name, example)
    return names
