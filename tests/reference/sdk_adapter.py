"""Runs a strategy of the SDK on the plain Python kernel. Client ids and instruments are numbered here, because that
kernel names them by text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain import Instrument, Order, OrderType, Side, TimeInForce
from domain import events as e
from engine.live_context import Resting, Told
from engine.market import Book, PoolMarket
from engine.records import EventFlag
from engine.sdk import Lasting, Levels, OrderKind, Quotes, Strategy, Trades
from engine.sdk.context import OpenOrder
from tests.reference.python_strategy import Context as KernelContext

_SIDES = (Side.BUY, Side.SELL)
_STATUS = {"mined": 1, "failed": 2, "refused": 3}


class _Book:
    def __init__(self, context: Adapter, instrument: int) -> None:
        self._context, self.instrument = context, instrument

    @property
    def _book(self) -> Book:
        return self._context.kernel.book(self._context.names[self.instrument])

    @property
    def is_valid(self) -> bool:
        return self._book.valid

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
        book = self._book
        if not book.valid:
            return _levels(()), _levels(())
        return _levels(book.bids[:depth]), _levels(book.asks[:depth])


def _levels(levels: Sequence[tuple[int, int]]) -> Levels:
    return np.array(levels, dtype=np.int64).reshape(-1, 2)


class Adapter:
    """One strategy on the Python kernel, and its context."""

    def __init__(self, strategy: Strategy, instruments: Sequence[Instrument]) -> None:
        self.strategy = strategy
        self._instruments = tuple(instruments)
        self.names = tuple(i.id for i in instruments)
        self._ids: list[str] = []
        self._books = tuple(_Book(self, at) for at in range(len(self.names)))
        self._is_started = self._is_stopped = False
        self.kernel: KernelContext

    @property
    def id(self) -> str:
        return self.strategy.id

    @property
    def is_idle(self) -> bool:
        return self.strategy.is_idle

    def on_event(self, event: e.Event, context: KernelContext) -> None:
        self.kernel = context
        strategy = self.strategy
        if not self._is_started:
            self._is_started = True
            strategy.on_start(self)
        match event:
            case e.BookChanged(instrument=name) | e.BookInvalidated(instrument=name) if name in strategy.instruments:
                strategy.on_book(self, self._books[self.names.index(name)])
            case e.FillReported(fill=fill) if self._owns(fill.client_order_id):
                base = self._instruments[self.names.index(f"{fill.venue}:{fill.symbol}")].base
                strategy.on_fill(
                    self,
                    Told(
                        event.time_ns,
                        instrument=self.names.index(f"{fill.venue}:{fill.symbol}"),
                        side=_SIDES.index(fill.side),
                        flags=int(EventFlag.FEE_BASE) if fill.fee_asset == base.symbol else 0,
                        price=fill.price_ticks,
                        size=fill.qty_lots,
                        aux1=fill.fee_raw,
                        client_id=self._number(fill.client_order_id),
                        is_maker=fill.is_maker,
                    ),
                )
            case e.OrderReported() if self._owns(event.client_order_id):
                strategy.on_order(self, Told(event.time_ns, client_id=self._number(event.client_order_id)))
            case e.SwapSettled() if event.intent_id in self._ids:
                strategy.on_settled(
                    self,
                    Told(
                        event.time_ns,
                        client_id=self._number(event.intent_id),
                        price=_STATUS[event.status],
                        sequence=event.block_number,
                    ),
                )
            case e.BlockSeen() | e.PoolSwapped() | e.PoolSynced():
                strategy.on_block(self, Told(event.time_ns))
            case e.TimerFired():
                strategy.on_timer(self, Told(event.time_ns))
            case _:
                pass
        if context.stopping and not self._is_stopped:
            strategy.on_stop(self)
        self._is_stopped = context.stopping

    # --- the context

    @property
    def now_ns(self) -> int:
        return self.kernel.now_ns

    @property
    def stopping(self) -> bool:
        return self.kernel.stopping

    @property
    def halted(self) -> bool:
        return self.kernel.halted

    @property
    def instruments(self) -> tuple[str, ...]:
        return self.names

    def instrument(self, name: str) -> int:
        return self.names.index(name)

    def tick(self, instrument: int) -> float:
        return float(self._instruments[instrument].tick_size)

    def terms(self, instrument: int) -> Instrument:
        return self._instruments[instrument]

    def lot(self, instrument: int) -> float:
        return float(self._instruments[instrument].lot_size)

    def book(self, instrument: int) -> _Book:
        return self._books[instrument]

    def trades(self) -> Trades:
        raise NotImplementedError("the Python kernel has no public trades")

    def position(self, instrument: int) -> int:
        of = self._instruments[instrument]
        return round(self.kernel.position(self.kernel.symbol_of(of.base)) / float(of.lot_size))

    def units(self, symbol: str) -> float:
        return self.kernel.position(symbol)

    def balance(self, asset: str) -> int:
        return self.kernel.balance(self._asset(asset))

    def mark(self, symbol: str) -> float:
        return self.kernel.mark(symbol)

    def symbol_of(self, asset: str) -> str:
        return self.kernel.symbol_of(self._asset(asset))

    def pool(self, name: str) -> PoolMarket:
        return self.kernel.pool(name)

    @property
    def base_fee_wei(self) -> int:
        return self.kernel.base_fee_wei()

    @property
    def block_time_s(self) -> int:
        return self.kernel.block_time_s()

    def open_orders(self, instrument: int) -> list[OpenOrder]:
        return [self._seen(order) for order in self.kernel.open_orders(self.names[instrument])]

    def order(self, client_id: int) -> OpenOrder | None:
        order = self.kernel.order(self._ids[client_id - 1])
        return None if order is None else self._seen(order)

    def _seen(self, order: Order) -> Resting:
        return Resting(
            self._number(order.client_order_id),
            _SIDES.index(order.side),
            order.price_ticks,
            order.qty_lots,
            order.filled_lots,
            bool(order.cancel_time_ns),
            order.state.is_open,
        )

    def is_open(self, client_id: int) -> bool:
        order = self.kernel.order(self._ids[client_id - 1])
        return order is not None and order.state.is_open

    def quote(self, instrument: int, bids: Quotes, asks: Quotes) -> None:
        wanted = [(0, *bid) for bid in bids] + [(1, *ask) for ask in asks]
        for order in self.kernel.open_orders(self.names[instrument]):
            if order.time_in_force is not TimeInForce.GTC or order.type is not OrderType.LIMIT_MAKER:
                continue
            match = next((w for w in wanted if w[0] == _SIDES.index(order.side) and w[1] == order.price_ticks), None)
            if match is None:
                self.kernel.cancel(order.client_order_id)
            elif not order.cancel_time_ns:
                wanted.remove(match)
        for side, price, size in wanted:
            self._keep(self.kernel.quote(self.names[instrument], _SIDES[side], price, size))

    def take(self, instrument: int, side: int, limit: int, size: int) -> int | None:
        return self._keep(self.kernel.take(self.names[instrument], _SIDES[side], limit, size))

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
        if reduce_only:
            raise NotImplementedError("the Python kernel trades spot alone")
        kind, lasting = OrderType(order_type), TimeInForce(time_in_force)
        if kind is OrderType.MARKET:
            kind, lasting = OrderType.LIMIT, TimeInForce.IOC if lasting is TimeInForce.GTC else lasting
        return self._keep(self.kernel.place(self.names[instrument], _SIDES[side], price, size, kind, lasting))

    def cancel(self, client_id: int) -> None:
        self.kernel.cancel(self._ids[client_id - 1])

    def cancel_all(self, instrument: int) -> None:
        for order in self.kernel.open_orders(self.names[instrument]):
            self.kernel.cancel(order.client_order_id)

    def signal(self, name: str, value: float, /, **inputs: object) -> None:
        """Logged nowhere: no decision depends on it."""

    def timer(self, at_ns: int, tag: int = 1) -> None:
        raise NotImplementedError("the Python kernel has no timers of strategies")

    def swap(self, pool: str, token_in: str, amount_in: int, min_amount_out: int, deadline_s: int) -> int | None:
        return self._keep(self.kernel.swap(pool, token_in, amount_in, min_amount_out, deadline_s))

    # --- numbers for names

    def _number(self, name: str) -> int:
        if name not in self._ids:
            self._ids.append(name)
        return self._ids.index(name) + 1

    def _keep(self, name: str | None) -> int | None:
        return None if name is None else self._number(name)

    def _owns(self, name: str) -> bool:
        order = self.kernel.order(name)
        return order is not None and order.strategy == self.id

    def _asset(self, asset_id: str) -> Any:
        return _Named(asset_id)


@dataclass(frozen=True, slots=True)
class _Named:
    """All the Python kernel wants to know of an asset."""

    id: str
