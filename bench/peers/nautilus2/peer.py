"""NautilusTrader 2.0's side: its Rust engine ("v2") with logging, analysis and the risk engine's checks off.

The same strategies as in bench/peers/nautilus, in its new vocabulary: an order object is a copy there, so what became
of an order is taken from events. The touch comes from the cache: its book snapshots at intervals copy the whole book
each time, which is a hundred times slower here. Its simulator has an option for queue position, which is on.
"""

from __future__ import annotations

import gc
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import CacheConfig, LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import (
    AccountType,
    AggressorSide,
    BookAction,
    BookOrder,
    BookType,
    CryptoPerpetual,
    Currency,
    InstrumentId,
    Money,
    OmsType,
    OrderBookDelta,
    OrderBookDeltas,
    OrderSide,
    Price,
    Quantity,
    RecordFlag,
    Symbol,
    TimeInForce,
    TradeId,
    TradeTick,
    Venue,
)
from nautilus_trader.risk import RiskEngineConfig
from nautilus_trader.trading import Strategy, StrategyConfig

from bench.peers.child import Feed, Stopwatch, serve

_LEVEL, _CLEAR, _TRADE = 1, 2, 3
_LAST, _SNAPSHOT = 1, 2
_VENUE = Venue("BINANCE")
_ID = InstrumentId(Symbol("BTCUSDT-PERP"), _VENUE)
_BTC, _USDT = Currency.from_str("BTC"), Currency.from_str("USDT")


def instrument(feed: Feed) -> CryptoPerpetual:
    return CryptoPerpetual(
        instrument_id=_ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=_BTC,
        quote_currency=_USDT,
        settlement_currency=_USDT,
        is_inverse=False,
        price_precision=feed.price_decimals,
        size_precision=feed.size_decimals,
        price_increment=Price(feed.tick, feed.price_decimals),
        size_increment=Quantity(feed.lot, feed.size_decimals),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
    )


def convert(feed: Feed, *, by_message: bool) -> list[Any]:
    """Turn the records into its objects: one OrderBookDeltas a message, or one OrderBookDelta a row."""
    tick, lot = Price(feed.tick, feed.price_decimals).raw, Quantity(feed.lot, feed.size_decimals).raw
    last, snapshot = int(RecordFlag.F_LAST.value), int(RecordFlag.F_SNAPSHOT.value)
    out: list[Any] = []
    message: list[OrderBookDelta] = []
    columns = ("time_exchange_ns", "time_local_ns", "kind", "side", "flags", "price", "size", "sequence")
    for exchange_ns, local_ns, kind, side, flags, price, size, sequence in zip(
        *(feed.records[name].tolist() for name in columns), strict=True
    ):
        if kind == _CLEAR:
            message.append(OrderBookDelta.clear(_ID, sequence, exchange_ns, local_ns))
            continue
        at, amount = (
            Price.from_raw(price * tick, feed.price_decimals),
            Quantity.from_raw(size * lot, feed.size_decimals),
        )
        if kind == _TRADE:
            aggressor = AggressorSide.SELL if side else AggressorSide.BUY
            out.append(TradeTick(_ID, at, amount, aggressor, TradeId(str(sequence)), exchange_ns, local_ns))
            continue
        action = BookAction.UPDATE if size else BookAction.DELETE
        order = BookOrder(OrderSide.SELL if side else OrderSide.BUY, at, amount, 0)
        marks = (last if flags & _LAST else 0) | (snapshot if flags & _SNAPSHOT else 0)
        message.append(OrderBookDelta(_ID, action, order, marks, sequence, exchange_ns, local_ns))
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

    def __new__(cls) -> Watcher:
        return super().__new__(cls, StrategyConfig())

    def __init__(self) -> None:
        self.wakes = 0

    def on_start(self) -> None:
        self.subscribe_book_deltas(_ID, BookType.L2_MBP)
        self.subscribe_trades(_ID)

    def on_book_deltas(self, deltas: OrderBookDeltas) -> None:
        self.wakes += 1

    def on_trade(self, trade: TradeTick) -> None:
        self.wakes += 1


class Maker(Strategy):
    """One bid and one ask a tick behind the touch, replaced when the target moves."""

    def __new__(cls, feed: Feed, parameters: dict[str, Any]) -> Maker:
        return super().__new__(cls, StrategyConfig(log_events=False, log_commands=False))

    def __init__(self, feed: Feed, parameters: dict[str, Any]) -> None:
        self.interval_ns = parameters["interval_ns"]
        self.decimals = feed.price_decimals
        self.tick = Price(feed.tick, feed.price_decimals).raw
        self.size = Quantity(parameters["size"] * feed.lot, feed.size_decimals)
        self.size_raw = self.size.raw
        self.most = Quantity(parameters["position_max"] * feed.lot, feed.size_decimals).raw
        self.due_ns = self.position = self.fills = self.actions = 0
        self.live: dict[Any, int] = {}
        self.bid: Any = None
        self.ask: Any = None
        self.bid_raw = self.ask_raw = 0

    def on_start(self) -> None:
        self.factory = self.order_factory
        self.tops = self.cache.top_of_book
        self.subscribe_book_deltas(_ID, BookType.L2_MBP, managed=True)

    def on_order_filled(self, event: Any) -> None:
        self.fills += 1
        raw, order_id = event.last_qty.raw, event.client_order_id
        self.position += raw if event.order_side == OrderSide.BUY else -raw
        self.live[order_id] -= raw
        if not self.live[order_id]:
            del self.live[order_id]

    def on_order_canceled(self, event: Any) -> None:
        self.live.pop(event.client_order_id, None)

    def on_order_rejected(self, event: Any) -> None:
        self.live.pop(event.client_order_id, None)

    def on_book_deltas(self, deltas: OrderBookDeltas) -> None:
        if deltas.ts_init >= self.due_ns:
            self.look(deltas.ts_init)

    def look(self, now_ns: int) -> None:
        self.due_ns = (now_ns // self.interval_ns + 1) * self.interval_ns
        top = self.tops(_ID)
        if top is None:
            return
        bid, _, ask, _ = top
        position = self.position
        bid_raw = bid.raw - self.tick if position < self.most else 0
        ask_raw = ask.raw + self.tick if position > -self.most else 0
        if self.bid is not None and (self.bid not in self.live or bid_raw != self.bid_raw):
            self.withdraw(self.bid)
            self.bid = None
        if self.ask is not None and (self.ask not in self.live or ask_raw != self.ask_raw):
            self.withdraw(self.ask)
            self.ask = None
        if bid_raw and self.bid is None:
            self.bid, self.bid_raw = self.place(OrderSide.BUY, bid_raw), bid_raw
        if ask_raw and self.ask is None:
            self.ask, self.ask_raw = self.place(OrderSide.SELL, ask_raw), ask_raw

    def withdraw(self, order_id: Any) -> None:
        if order_id in self.live:
            self.actions += 1
            self.cancel_order(order_id)

    def place(self, side: OrderSide, raw: int) -> Any:
        price = Price.from_raw(raw, self.decimals)
        order = self.factory.limit(_ID, side, self.size, price, TimeInForce.GTC, post_only=True)
        order_id = order.client_order_id
        self.live[order_id] = self.size_raw
        self.actions += 1
        self.submit_order(order)
        return order_id


def backtest(feed: Feed, parameters: dict[str, Any], strategy: Any, *, by_message: bool) -> BacktestEngine:
    data = feed.once(f"data {by_message}", lambda: convert(feed, by_message=by_message))
    engine = BacktestEngine(
        BacktestEngineConfig(
            bypass_logging=True,
            logging=LoggerConfig(bypass_logging=True),
            cache=CacheConfig(tick_capacity=1, bar_capacity=1),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        venue=_VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(10_000_000, _USDT)],
        book_type=BookType.L2_MBP,
        trade_execution=True,
        queue_position=True,
        latency_model=StaticLatencyModel(base_latency_nanos=parameters["latency_ns"]),
        fee_model=MakerTakerFeeModel(Decimal(str(parameters["maker_fee"])), Decimal(str(parameters["taker_fee"]))),
    )
    engine.add_instrument(instrument(feed))
    engine.add_data(data, validate=False, sort=True)
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
    watcher = Watcher()
    answer = run(feed, parameters, watch, watcher, by_message=parameters["by_message"])
    return answer | {"wakes": watcher.wakes}


def make_market(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    maker = Maker(feed, parameters)
    answer = run(feed, parameters, watch, maker)
    position = round(maker.position / Quantity(feed.lot, feed.size_decimals).raw)
    return answer | {"fills": maker.fills, "actions": maker.actions, "position": position}


if __name__ == "__main__":
    serve(
        {"nautilus_trader": version("nautilus_trader")},
        {"replay": replay, "callbacks": callbacks, "make_market": make_market},
    )
