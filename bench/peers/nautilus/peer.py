"""NautilusTrader 1.x's side: its Cython BacktestEngine, with logging, analysis and the risk engine's checks off.

The market maker is a Strategy in Python, the only kind its package runs as is. Prices are compared as raw integers, and
position and orders kept by the strategy itself, which is faster than asking portfolio and cache; a message's deltas
come as one object, which is faster than one a row; looking from the data's handlers is faster than from a timer or
`subscribe_order_book_at_interval`. This version knows no queue position: an order fills when a trade or the book
reaches its price. Fees, latency and netting are on.
"""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import nautilus_trader
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import BacktestEngineConfig, CacheConfig, LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import OrderBookDelta, OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from bench.peers.child import Feed, Stopwatch, serve
from bench.peers.nautilus.live import measure, summary

_LEVEL, _CLEAR, _TRADE = 1, 2, 3
_LAST, _SNAPSHOT = 1, 2
_VENUE = Venue("BINANCE")
_ID = InstrumentId(Symbol("BTCUSDT-PERP"), _VENUE)


def instrument(feed: Feed, parameters: dict[str, Any]) -> CryptoPerpetual:
    return CryptoPerpetual(
        instrument_id=_ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=feed.price_decimals,
        size_precision=feed.size_decimals,
        price_increment=Price(feed.tick, feed.price_decimals),
        size_increment=Quantity(feed.lot, feed.size_decimals),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=Decimal(str(parameters["maker_fee"])),
        taker_fee=Decimal(str(parameters["taker_fee"])),
    )


def convert(feed: Feed, *, by_message: bool) -> list[Any]:
    """Turn the records into its objects: one OrderBookDeltas a message, or one OrderBookDelta a row."""
    tick, lot = Price(feed.tick, feed.price_decimals).raw, Quantity(feed.lot, feed.size_decimals).raw
    out: list[Any] = []
    message: list[OrderBookDelta] = []
    columns = ("time_exchange_ns", "time_local_ns", "kind", "side", "flags", "price", "size", "sequence")
    for exchange_ns, local_ns, kind, side, flags, price, size, sequence in zip(
        *(feed.records[name].tolist() for name in columns), strict=True
    ):
        if kind == _TRADE:
            aggressor = AggressorSide.SELLER if side else AggressorSide.BUYER
            out.append(
                TradeTick(
                    _ID,
                    Price.from_raw(price * tick, feed.price_decimals),
                    Quantity.from_raw(size * lot, feed.size_decimals),
                    aggressor,
                    TradeId(str(sequence)),
                    exchange_ns,
                    local_ns,
                )
            )
            continue
        if kind == _CLEAR:
            message.append(OrderBookDelta.clear(_ID, sequence, exchange_ns, local_ns))
            continue
        marks = (RecordFlag.F_LAST if flags & _LAST else 0) | (RecordFlag.F_SNAPSHOT if flags & _SNAPSHOT else 0)
        message.append(
            OrderBookDelta.from_raw(
                _ID,
                BookAction.UPDATE if size else BookAction.DELETE,
                OrderSide.SELL if side else OrderSide.BUY,
                price * tick,
                feed.price_decimals,
                size * lot,
                feed.size_decimals,
                0,
                marks,
                sequence,
                exchange_ns,
                local_ns,
            )
        )
        if flags & _LAST:
            if by_message:
                out.append(OrderBookDeltas(_ID, message))
            else:
                out += message
            message = []
    gc.collect()
    gc.freeze()
    return out


class Watcher(Strategy):
    """Wakes on everything and counts."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig())
        self.wakes = 0

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(_ID, BookType.L2_MBP)
        self.subscribe_trade_ticks(_ID)

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        self.wakes += 1

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.wakes += 1


class Maker(Strategy):
    """One bid and one ask a tick behind the touch, replaced when the target moves."""

    def __init__(self, feed: Feed, parameters: dict[str, Any]) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.interval_ns = parameters["interval_ns"]
        self.decimals = feed.price_decimals
        self.tick = Price(feed.tick, feed.price_decimals).raw
        self.size = Quantity(parameters["size"] * feed.lot, feed.size_decimals)
        self.most = Quantity(parameters["position_max"] * feed.lot, feed.size_decimals).raw
        self.due_ns = self.position = self.fills = self.actions = 0
        self.bid: Any = None
        self.ask: Any = None
        self.bid_raw = self.ask_raw = 0

    def on_start(self) -> None:
        self.book: Any = None
        self.subscribe_order_book_deltas(_ID, BookType.L2_MBP)

    def on_order_filled(self, event: Any) -> None:
        self.fills += 1
        raw = event.last_qty.raw
        self.position += raw if event.order_side == OrderSide.BUY else -raw

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        if deltas.ts_init >= self.due_ns:
            self.look(deltas.ts_init)

    def look(self, now_ns: int) -> None:
        self.due_ns = (now_ns // self.interval_ns + 1) * self.interval_ns
        if self.book is None:
            self.book = self.cache.order_book(_ID)
        book = self.book
        bid, ask = book.best_bid_price(), book.best_ask_price()
        if bid is None or ask is None:
            return
        position = self.position
        bid_raw = bid.raw - self.tick if position < self.most else 0
        ask_raw = ask.raw + self.tick if position > -self.most else 0
        if self.bid is not None and (self.bid.is_closed or bid_raw != self.bid_raw):
            self.withdraw(self.bid)
            self.bid = None
        if self.ask is not None and (self.ask.is_closed or ask_raw != self.ask_raw):
            self.withdraw(self.ask)
            self.ask = None
        if bid_raw and self.bid is None:
            self.bid, self.bid_raw = self.place(OrderSide.BUY, bid_raw), bid_raw
        if ask_raw and self.ask is None:
            self.ask, self.ask_raw = self.place(OrderSide.SELL, ask_raw), ask_raw

    def withdraw(self, order: Any) -> None:
        if not order.is_closed:
            self.actions += 1
            self.cancel_order(order)

    def place(self, side: OrderSide, raw: int) -> Any:
        price = Price.from_raw(raw, self.decimals)
        order = self.order_factory.limit(_ID, side, self.size, price, TimeInForce.GTC, post_only=True)
        self.actions += 1
        self.submit_order(order)
        return order


def backtest(feed: Feed, parameters: dict[str, Any], strategy: Strategy | None, *, by_message: bool) -> BacktestEngine:
    data = feed.once(f"data {by_message}", lambda: convert(feed, by_message=by_message))
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            cache=CacheConfig(tick_capacity=1, bar_capacity=1),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        venue=_VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(10_000_000, USDT)],
        base_currency=None,
        book_type=BookType.L2_MBP,
        trade_execution=True,
        latency_model=LatencyModel(base_latency_nanos=parameters["latency_ns"]),
    )
    engine.add_instrument(instrument(feed, parameters))
    engine.add_data(data, validate=False, sort=False)
    if strategy is not None:
        engine.add_strategy(strategy)
    return engine


def run(feed, parameters, watch, strategy=None, *, by_message=True) -> dict[str, Any]:
    engine = backtest(feed, parameters, strategy, by_message=by_message)
    watch.start()
    engine.run()
    watch.stop()
    engine.dispose()
    return {"rows": len(feed.records)}


def replay(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    return run(feed, parameters, watch)


def callbacks(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Its callback is a Python method; `by_message` tells whether a message or a row is an event."""
    watcher = Watcher()
    answer = run(feed, parameters, watch, watcher, by_message=parameters["by_message"])
    return answer | {"wakes": watcher.wakes}


def make_market(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    maker = Maker(feed, parameters)
    answer = run(feed, parameters, watch, maker)
    position = round(maker.position / Quantity(feed.lot, feed.size_decimals).raw)
    return answer | {"fills": maker.fills, "actions": maker.actions, "position": position}


def live(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """The live engines: nanoseconds from a quote to the adapter, one quote at a time."""
    prices = feed.records["price"][feed.records["kind"] == _TRADE][: parameters["count"]].tolist()
    watch.start()
    times = measure(instrument(feed, parameters), prices, feed.price_decimals)
    watch.stop()
    return summary(times)


if __name__ == "__main__":
    serve(
        {"nautilus_trader": nautilus_trader.__version__},
        {"replay": replay, "callbacks": callbacks, "make_market": make_market, "live": live},
    )
