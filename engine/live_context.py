"""What a strategy sees and does in the shell's process: `engine.sdk.Context` on the native kernel and the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from capstan_native import Kernel as NativeKernel

from domain import InputError, Instrument
from domain import events as e
from engine.edge import Numbers, SwapRequest
from engine.market import Book, PoolMarket
from engine.records import EVENT, EventFlag, EventKind
from engine.sdk import Input, Lasting, Levels, OpenOrder, OrderKind, Quotes, Signal, Trades
from engine.view import RunView

_LIMIT, _MAKER, _MARKET = 0, 1, 2
_GTC, _IOC, _FOK = 0, 1, 2
_LASTING: Final = {"gtc": _GTC, "ioc": _IOC, "fok": _FOK}
TRADES_MAX: Final = 4_096
"""Trades that can wait for `on_trades`; when they are so many it runs, whatever its interval."""


@dataclass(slots=True)
class Told:
    """What `engine.sdk.EventView` shows, of one event in words."""

    time_ns: int
    time_exchange_ns: int = 0
    instrument: int = 0
    kind: int = 0
    side: int = 0
    flags: int = 0
    price: int = 0
    size: int = 0
    sequence: int = 0
    aux0: int = 0
    aux1: int = 0
    client_id: int = 0
    is_maker: bool = False


@dataclass(frozen=True, slots=True)
class Resting:
    """What `engine.sdk.OpenOrder` shows."""

    client_id: int
    side: int
    price: int
    size: int
    filled: int
    is_cancelling: bool
    is_open: bool = True


class LiveBook:
    """What `engine.sdk.BookView` shows: the newest book, while the kernel believes it."""

    def __init__(self, native: NativeKernel, book: Book, instrument: int) -> None:
        self._native, self._book, self.instrument = native, book, instrument

    @property
    def is_valid(self) -> bool:
        return self._book.valid and self._native.book_is_valid(self.instrument)

    @property
    def bid(self) -> int:
        return self._book.bids[0][0] if self.is_valid else 0

    @property
    def ask(self) -> int:
        return self._book.asks[0][0] if self.is_valid else 0

    @property
    def bid_size(self) -> int:
        return self._book.bids[0][1] if self.is_valid else 0

    @property
    def ask_size(self) -> int:
        return self._book.asks[0][1] if self.is_valid else 0

    @property
    def changed_ns(self) -> int:
        return self._book.changed_ns

    def levels(self, depth: int) -> tuple[Levels, Levels]:
        if not self.is_valid:
            return _levels(()), _levels(())
        return _levels(self._book.bids[:depth]), _levels(self._book.asks[:depth])


class Waiting:
    """Public trades that a strategy was not told of yet, as records."""

    def __init__(self) -> None:
        self._records: Trades = np.zeros(0, EVENT)
        self.count = 0

    def take(self, event: e.TradePrinted, instrument: int) -> None:
        if not len(self._records):
            self._records = np.zeros(TRADES_MAX, EVENT)
        side, flags = 1 if event.is_buyer_maker else 0, int(EventFlag.LAST)
        now, kind = event.time_ns, int(EventKind.TRADE)
        self._records[self.count] = (
            now, now, instrument, kind, side, flags, event.price_ticks, event.qty_lots, 0, (0, 0)
        )  # fmt: skip
        self.count += 1

    def seen(self) -> Trades:
        return self._records[: self.count]


class LiveContext:
    """One strategy's `engine.sdk.Context`."""

    def __init__(self, place: int, native: NativeKernel, view: RunView, numbers: Numbers) -> None:
        self._place, self._native, self._view, self._numbers = place, native, view, numbers
        self._names = tuple(i.id for i in numbers.instruments)
        books = view.markets.books
        self._books = tuple(LiveBook(native, books[name], at) for at, name in enumerate(self._names))
        self.waiting = Waiting()

    @property
    def now_ns(self) -> int:
        return self._native.now_ns

    @property
    def stopping(self) -> bool:
        return self._native.is_stopping

    @property
    def halted(self) -> bool:
        return bool(self._native.stage_of(self._place))

    @property
    def instruments(self) -> tuple[str, ...]:
        return self._names

    def instrument(self, name: str) -> int:
        return self._numbers.instrument_at[name]

    def tick(self, instrument: int) -> float:
        return float(self._numbers.instruments[instrument].tick_size)

    def lot(self, instrument: int) -> float:
        return float(self._numbers.instruments[instrument].lot_size)

    def terms(self, instrument: int) -> Instrument:
        return self._numbers.instruments[instrument]

    def book(self, instrument: int) -> LiveBook:
        return self._books[instrument]

    def trades(self) -> Trades:
        return self.waiting.seen()

    def position(self, instrument: int) -> int:
        return self._native.position(self._place, instrument)

    def position_of(self, strategy: str, instrument: int) -> int:
        strategies = self._numbers.strategies
        if strategy not in strategies:
            raise KeyError(f"no strategy {strategy} in this run")
        return self._native.position(strategies.index(strategy), instrument)

    def units(self, symbol: str) -> float:
        return sum(
            self._native.moved(self._place, at) / asset.unit
            for at, asset in enumerate(self._numbers.assets)
            if self._view.portfolio.economic_symbol(asset.id) == symbol
        )

    def balance(self, asset: str) -> int:
        return self._native.balance(self._numbers.asset_at[asset])

    def mark(self, symbol: str) -> float:
        return self._view.marks.get(symbol, 0.0)

    def symbol_of(self, asset: str) -> str:
        return self._view.portfolio.economic_symbol(asset)

    def pool(self, name: str) -> PoolMarket:
        return self._view.markets.pools[name]

    @property
    def base_fee_wei(self) -> int:
        return self._native.head[2]

    @property
    def block_time_s(self) -> int:
        return self._native.head[1]

    def open_orders(self, instrument: int) -> list[OpenOrder]:
        return [
            _seen(o)
            for o in cast("list[dict[str, Any]]", self._native.open_orders())
            if o["strategy"] == self._place and o["instrument"] == instrument
        ]

    def order(self, client_id: int) -> OpenOrder | None:
        found = cast("dict[str, Any] | None", self._native.order(client_id))
        return None if found is None or found["strategy"] != self._place else _seen(found)

    def is_open(self, client_id: int) -> bool:
        order = self._native.order(client_id)
        return order is not None and bool(order["is_open"])

    def signal(self, name: str, value: float, /, **inputs: Input) -> None:
        strategy = self._view.numbers.strategy(self._place) or ""
        made = Signal(time_ns=self.now_ns, strategy=strategy, name=name, value=float(value), inputs=inputs)
        self._view.on_signal(made)

    # --- actions

    def quote(self, instrument: int, bids: Quotes, asks: Quotes) -> None:
        self._native.set_targets(self._place, instrument, bids, asks)

    def take(self, instrument: int, side: int, limit: int, size: int) -> int | None:
        return self._native.place(self._place, instrument, side, limit, size, order_type=_LIMIT, time_in_force=_IOC)

    def place(
        self,
        instrument: int,
        side: int,
        price: int,
        size: int,
        *,
        order_type: OrderKind = "limit",
        time_in_force: Lasting = "gtc",
        reduce_only: bool = False,
    ) -> int | None:
        if side not in (0, 1):
            raise ValueError(f"side {side}: 0 buys, 1 sells")
        kind, lasting = _kind_and_lasting(order_type, time_in_force, price)
        return self._native.place(
            self._place, instrument, side, price, size, order_type=kind, time_in_force=lasting, reduce_only=reduce_only
        )

    def cancel(self, client_id: int) -> None:
        self._native.cancel(client_id)

    def cancel_all(self, instrument: int) -> None:
        self._native.set_targets(self._place, instrument, (), ())
        for order in self.open_orders(instrument):
            self._native.cancel(order.client_id)

    def timer(self, at_ns: int, tag: int = 1) -> None:
        self._native.timer(self._place, at_ns, tag)

    def swap(self, pool: str, token_in: str, amount_in: int, min_amount_out: int, deadline_s: int) -> int | None:
        at = self._numbers.pool_at[pool]
        tokens = self._numbers.pools[at]
        if token_in not in (tokens.token0, tokens.token1):
            raise InputError(f"{token_in} is none of pool {pool}'s tokens")
        token_out = tokens.token1 if token_in == tokens.token0 else tokens.token0
        request = SwapRequest(at, token_in == tokens.token0, amount_in, min_amount_out, deadline_s)
        asset_in, asset_out = self._numbers.asset_at[token_in], self._numbers.asset_at[token_out]
        return self._native.swap(self._place, request.to_bytes(), at, asset_in, amount_in, asset_out, min_amount_out)


def _kind_and_lasting(order_type: str, time_in_force: str, price: int) -> tuple[int, int]:
    """The kernel's numbers of an order's kind and of how long it lasts, as native/python/src/sdk/context.rs has them.

    Raises:
        ValueError: A word that does not exist, or a maker order that is not good till cancelled.
    """
    if time_in_force not in _LASTING:
        raise ValueError(f'time in force "{time_in_force}": gtc, ioc or fok')
    lasting = _LASTING[time_in_force]
    match order_type:
        case "limit":
            return _LIMIT, lasting
        case "limit_maker":
            if lasting != _GTC:
                raise ValueError("a maker order is good till cancelled")
            return _MAKER, lasting
        case "market" if price <= 0:
            return _MARKET, _IOC  # For the gate to refuse.
        case "market":
            # Nothing leaves without a bound: it takes at once what there is down to its price, and is over.
            return _LIMIT, _IOC if lasting == _GTC else lasting
    raise ValueError(f'order type "{order_type}": limit, limit_maker or market')


def _seen(order: dict[str, Any]) -> Resting:
    return Resting(
        order["client_id"],
        order["side"],
        order["price"],
        order["size"],
        order["filled"],
        bool(order["cancel_ns"]),
        order["is_open"],
    )


def _levels(levels: Sequence[tuple[int, int]]) -> Levels:
    return np.array(levels, dtype=np.int64).reshape(-1, 2)
