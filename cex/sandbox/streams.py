"""Market data streams: names, subscriptions, and what is published when.

`trade`, `aggTrade` and `bookTicker` go out with the event that causes them; `depth@100ms` and the partial books ten
times a second; `depth`, tickers and candles once a second. Nothing is encoded that nobody listens to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from cex.sandbox import marketviews
from cex.sandbox.candles import INTERVALS_MS
from cex.sandbox.connections import Connection
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults, Line
from cex.sandbox.market import Market
from cex.sandbox.orders import AggregateTrade, BookTouched, ExchangeEvent, PublicTrade
from cex.sandbox.timeunits import scaled
from cex.sandbox.windows import STREAM_WINDOWS_MS, window_event, zone_ms

_encode: Final = msgspec.json.Encoder().encode
_PARTIAL_DEPTHS: Final = (5, 10, 20)
_NAME: Final = re.compile(
    r"(?P<symbol>[a-z0-9]{1,20})@(?P<kind>trade|aggTrade|bookTicker|ticker(?:_1h|_4h|_1d)?|miniTicker|avgPrice"
    r"|depth(?:5|10|20)?(?:@100ms|@1000ms)?|kline_(?P<interval>[0-9]{1,2}[smhdwM])(?:@\+08:00)?"
    # Nothing ever happens on these two: there are no block trades and no reference prices.
    r"|blockTrade|referencePrice)"
)
_ALL_WINDOWS: Final = {name: f"!ticker_{name}@arr" for name in STREAM_WINDOWS_MS}
_ALL_MARKETS: Final = frozenset({"!ticker@arr", "!miniTicker@arr", *_ALL_WINDOWS.values()})
_ZONE: Final = "+08:00"
"""The one time zone that candles have streams in, beside UTC."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A connection and how it wants its messages: bare, or wrapped with the stream's name."""

    connection: Connection
    wrapped: bool


class Hub:
    """Who listens to what."""

    def __init__(self, symbols: frozenset[str]) -> None:
        self._symbols = frozenset(symbol.lower() for symbol in symbols)
        self._subscribers: dict[str, set[Subscriber]] = {}

    def knows(self, name: str) -> bool:
        """Whether such a stream exists."""
        if name in _ALL_MARKETS:
            return True
        match = _NAME.fullmatch(name)
        if match is None or match["symbol"] not in self._symbols:
            return False
        return match["interval"] is None or match["interval"] in INTERVALS_MS

    def subscribe(self, name: str, subscriber: Subscriber) -> None:
        self._subscribers.setdefault(name, set()).add(subscriber)

    def unsubscribe(self, name: str, subscriber: Subscriber) -> None:
        listeners = self._subscribers.get(name)
        if listeners is not None:
            listeners.discard(subscriber)
            if not listeners:
                del self._subscribers[name]

    def names(self, subscriber: Subscriber) -> list[str]:
        return [name for name, listeners in self._subscribers.items() if subscriber in listeners]

    def publish(self, name: str, view: Callable[[], Any]) -> None:
        """Send a view to a stream's listeners; it is built only if there are any."""
        listeners = self._subscribers.get(name)
        if not listeners:
            return
        built = view()
        bare, wrapped = _encoded(name, built)
        finer: tuple[bytes, bytes] | None = None
        for listener in listeners:
            if listener.connection.is_in_microseconds:
                finer = finer or _encoded(name, scaled(built))
                listener.connection.send_encoded(finer[listener.wrapped])
            else:
                listener.connection.send_encoded(wrapped if listener.wrapped else bare)

    def is_heard(self, name: str) -> bool:
        return name in self._subscribers


class MarketData:
    """Publishes the exchange's public events."""

    def __init__(self, exchange: Exchange, hub: Hub, faults: Faults) -> None:
        self._exchange = exchange
        self._hub = hub
        self._faults = faults
        self._lines = {name: Line(faults, "delay_depth") for name in exchange.markets}
        self._held: dict[str, Callable[[], None]] = {}
        self._best: dict[str, tuple[str, str, str, str]] = {}

    def on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, PublicTrade):
            self._hub.publish(f"{event.symbol.name.lower()}@trade", lambda: marketviews.trade_event(event))
        elif isinstance(event, AggregateTrade):
            self._hub.publish(f"{event.symbol.name.lower()}@aggTrade", lambda: marketviews.aggregate_event(event))
        elif isinstance(event, BookTouched):
            self._publish_best(self._exchange.market(event.symbol.name))

    def every_100_ms(self) -> None:
        """Publish the fast diffs and partial books of every market that changed."""
        now = self._exchange.clock_ms()
        for market in self._exchange.markets.values():
            changes = market.take_changes(market.fast)
            if changes is None:
                continue
            if not self._faults.take("gap"):
                stream = f"{market.spec.name.lower()}@depth@100ms"
                view = partial(marketviews.depth_event, market.spec, changes, now)
                self._send_diff(market.spec.name, partial(self._hub.publish, stream, view))
            self._publish_partial(market, "@100ms")

    def _send_diff(self, symbol: str, deliver: Callable[[], None]) -> None:
        held = self._held.pop(symbol, None)
        if held is None and self._faults.take("out_of_order_depth"):
            self._held[symbol] = deliver
            return
        line = self._lines[symbol]
        line.send(deliver)
        if self._faults.take("duplicate_depth"):
            line.send(deliver)
        if held is not None:
            line.send(held)

    def every_second(self) -> None:
        """Publish the slow diffs and partial books, tickers and candles."""
        now = self._exchange.clock_ms()
        for market in self._exchange.markets.values():
            symbol = market.spec.name.lower()
            changes = market.take_changes(market.slow)
            if changes is not None:
                for suffix in ("", "@1000ms"):
                    self._hub.publish(
                        f"{symbol}@depth{suffix}", partial(marketviews.depth_event, market.spec, changes, now)
                    )
                    self._publish_partial(market, suffix)
            self._hub.publish(f"{symbol}@ticker", partial(marketviews.ticker_event, market, now))
            self._hub.publish(f"{symbol}@miniTicker", partial(marketviews.mini_ticker_event, market, now))
            self._hub.publish(f"{symbol}@avgPrice", partial(marketviews.average_price_event, market, now))
            for window in STREAM_WINDOWS_MS:
                self._hub.publish(f"{symbol}@ticker_{window}", partial(window_event, market, window, now))
            self._publish_candles(market, now)
        markets = self._exchange.markets.values()
        self._hub.publish("!ticker@arr", lambda: [marketviews.ticker_event(market, now) for market in markets])
        self._hub.publish("!miniTicker@arr", lambda: [marketviews.mini_ticker_event(market, now) for market in markets])
        for window, name in _ALL_WINDOWS.items():
            if self._hub.is_heard(name):
                self._hub.publish(name, partial(list, [window_event(market, window, now) for market in markets]))

    def _publish_candles(self, market: Market, now: int) -> None:
        for interval in INTERVALS_MS:
            candle = market.candles.last(interval)
            # A candle is told until it is over, and once more after that.
            if candle is not None and now <= candle.close_ms + 1_000:
                view = partial(marketviews.candle_event, candle, market.spec, interval, now)
                self._hub.publish(f"{market.spec.name.lower()}@kline_{interval}", view)
            zoned = f"{market.spec.name.lower()}@kline_{interval}@{_ZONE}"
            if candle is not None and self._hub.is_heard(zoned):
                last = market.candles.zoned(interval, zone_ms(_ZONE))[-1]
                self._hub.publish(zoned, partial(marketviews.candle_event, last, market.spec, interval, now))

    def _publish_partial(self, market: Market, suffix: str) -> None:
        symbol = market.spec.name.lower()
        for depth in _PARTIAL_DEPTHS:
            self._hub.publish(f"{symbol}@depth{depth}{suffix}", partial(marketviews.depth_view, market, depth))

    def _publish_best(self, market: Market) -> None:
        best = marketviews.best_prices(market)
        if self._best.get(market.spec.name) != best:
            self._best[market.spec.name] = best
            self._hub.publish(f"{market.spec.name.lower()}@bookTicker", lambda: marketviews.book_ticker_event(market))


def _encoded(name: str, view: Any) -> tuple[bytes, bytes]:
    """A message bare, and wrapped with its stream's name."""
    bare = _encode(view)
    return bare, b'{"stream":"' + name.encode() + b'","data":' + bare + b"}"
