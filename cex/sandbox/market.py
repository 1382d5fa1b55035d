"""One symbol's market: the matching engine, the counter of book changes, public trades and candles."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import capstan_native as native

from cex.sandbox.candles import Candles
from cex.sandbox.config import SymbolSpec
from cex.sandbox.orders import AggregateTrade, PublicTrade
from cex.sandbox.triggers import Triggers

TRADES_KEPT: Final = 5_000
DAY_MS: Final = 86_400_000
RESUME_GAP: Final = 1_000


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """The rolling day, or the time since the start if that is shorter. Prices in ticks, sizes in lots."""

    open: int
    high: int
    low: int
    lots: int
    quote_raw: int
    trades: int
    first_trade_id: int
    last_trade_id: int


class LevelChanges:
    """Levels touched since one stream last published; each stream with a rhythm of its own has one."""

    def __init__(self, update_id: int) -> None:
        self.published_id = update_id
        self.touched: tuple[set[int], set[int]] = (set(), set())


class Market:
    """What the public sees of a symbol. Fed by the exchange, which alone runs the engine."""

    def __init__(self, spec: SymbolSpec, reference_price: int) -> None:
        self.spec = spec
        self.engine = native.MatchingEngine()
        self.triggers = Triggers()
        self.candles = Candles()
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        self.aggregates: deque[AggregateTrade] = deque(maxlen=TRADES_KEPT)
        self.update_id = 1
        """Counts level changes; `U` and `u` of the diffs and `lastUpdateId` of the snapshots are its values."""
        self.last_price = reference_price
        """In ticks: of the last trade, before the first one a reference from the configuration."""
        self.last_lots = 0
        self.fast = LevelChanges(self.update_id)
        """For the 100 ms diffs."""
        self.slow = LevelChanges(self.update_id)
        """For the 1000 ms diffs."""
        self._trade_id = 0
        self._aggregate_id = 0
        self._prevented_id = -1

    @property
    def last_trade_id(self) -> int:
        return self._trade_id

    def counters(self) -> dict[str, int]:
        """Give what a restart needs beside the trades and candles."""
        return {
            "update_id": self.update_id,
            "trade_id": self._trade_id,
            "aggregate_id": self._aggregate_id,
            "prevented_id": self._prevented_id,
            "last_price": self.last_price,
            "last_lots": self.last_lots,
        }

    def resume(self, counters: dict[str, int]) -> None:
        """Count on from where an exchange before this one ended.

        What was in its book beside the orders that come back is gone without a diff: the counter leaves a gap, so that
        nobody takes the next diff for a continuation.
        """
        self.update_id = counters["update_id"] + RESUME_GAP
        self.fast, self.slow = LevelChanges(self.update_id), LevelChanges(self.update_id)
        self._trade_id, self._aggregate_id = counters["trade_id"], counters["aggregate_id"]
        self._prevented_id = counters["prevented_id"]
        self.last_price, self.last_lots = counters["last_price"], counters["last_lots"]

    def next_prevented_id(self) -> int:
        self._prevented_id += 1
        return self._prevented_id

    def next_trade_id(self) -> int:
        self._trade_id += 1
        return self._trade_id

    def touch(self, side: int, price: int) -> None:
        """Note that a level changed."""
        self.update_id += 1
        self.fast.touched[side].add(price)
        self.slow.touched[side].add(price)

    def take_changes(
        self, changes: LevelChanges
    ) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Give what changed since the last call as (U, u, bids, asks) with absolute sizes, or None if nothing did."""
        if changes.published_id == self.update_id:
            return None
        first_id, changes.published_id = changes.published_id + 1, self.update_id
        bids, asks = (
            [
                (price, self.engine.lots_at(side, price))
                for price in sorted(changes.touched[side], reverse=side == native.BUY)
            ]
            for side in (native.BUY, native.SELL)
        )
        changes.touched[0].clear()
        changes.touched[1].clear()
        return first_id, self.update_id, bids, asks

    def printed(self, trade: PublicTrade) -> None:
        """Record an execution."""
        self.trades.append(trade)
        self.last_price, self.last_lots = trade.price, trade.lots
        self.candles.add(
            trade.id, trade.price, trade.lots, trade.quote_raw, trade.time_ms, taker_buys=not trade.is_buyer_maker
        )

    def aggregate(self, trades: list[PublicTrade]) -> list[AggregateTrade]:
        """Sum what one order traded, price by price."""
        grouped: list[AggregateTrade] = []
        for trade in trades:
            if grouped and grouped[-1].price == trade.price:
                last = grouped.pop()
                first_id, lots = last.first_trade_id, last.lots + trade.lots
                aggregate_id = last.id
            else:
                self._aggregate_id += 1
                first_id, lots, aggregate_id = trade.id, trade.lots, self._aggregate_id
            grouped.append(
                AggregateTrade(
                    aggregate_id, self.spec, trade.price, lots, first_id, trade.id, trade.time_ms, trade.is_buyer_maker
                )
            )
        self.aggregates.extend(grouped)
        return grouped

    def average_price(self, now_ms: int, minutes: int = 5) -> int:
        """Volume-weighted price of the last minutes in ticks, rounded down; the last price if nothing traded."""
        candles = self.candles.since("1m", now_ms - minutes * 60_000)
        lots = sum(candle.lots for candle in candles)
        if not lots:
            return self.last_price
        return sum(candle.quote_raw for candle in candles) // (lots * self.spec.notional_unit)

    def window(self, interval: str, open_ms: int) -> DayStatistics:
        """Sum the candles of an interval that end after an instant."""
        candles = self.candles.since(interval, open_ms)
        if not candles:
            return DayStatistics(self.last_price, self.last_price, self.last_price, 0, 0, 0, -1, -1)
        return DayStatistics(
            open=candles[0].open,
            high=max(candle.high for candle in candles),
            low=min(candle.low for candle in candles),
            lots=sum(candle.lots for candle in candles),
            quote_raw=sum(candle.quote_raw for candle in candles),
            trades=sum(candle.trades for candle in candles),
            first_trade_id=candles[0].first_trade_id,
            last_trade_id=candles[-1].last_trade_id,
        )
