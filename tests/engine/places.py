"""In-memory implementations of the engine's ports, whose truth outlives the runner that trades on them.

The exchange fails on command, the way real ones do: an answer lost before or after the order arrived, a refusal, a
cancel that is not heard. What it holds and what it traded is the truth that a recovered engine must come to agree with.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domain import (
    Fill,
    Instrument,
    OrderRejected,
    OrderState,
    OutcomeUnknown,
    Side,
    TimeInForce,
    VenueId,
    VenueUnavailable,
)
from domain import events as e
from engine.ports import Emit
from tests.engine.markets import ETH, ETHUSDC, USDC, VENUE


@dataclass
class Held:
    order: e.PlaceOrder
    state: OrderState = OrderState.ACCEPTED
    filled: int = 0


@dataclass
class MemoryExchange:
    """One account at one exchange; satisfies `ExchangeVenue`."""

    holdings: dict[str, int] = field(default_factory=lambda: {ETH.id: 100 * ETH.unit, USDC.id: 500_000 * USDC.unit})
    orders: dict[str, Held] = field(default_factory=dict)
    trades: list[Fill] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    """Client order ids in the order in which they came in: none may come twice."""
    faults: deque[str] = field(default_factory=deque)
    """What happens to the next orders: `` (all is well), `unavailable`, `reject`, `lost`, `never` or `bug`."""
    cancel_faults: int = 0
    taken_lots: int | None = None
    """How much of an immediate order trades; None is all of it."""
    is_reachable: bool = True
    emit: Emit = field(default=lambda _event: None)
    _trade_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def id(self) -> VenueId:
        return VENUE

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return {ETHUSDC.id: ETHUSDC}

    async def start(self, emit: Emit) -> None:
        self.emit = emit

    async def stop(self) -> None:
        self.emit = lambda _event: None

    async def place(self, order: e.PlaceOrder) -> int:
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unavailable":
            raise VenueUnavailable("not connected")
        if fault == "never":
            raise OutcomeUnknown("no answer", request_id=order.client_order_id)
        self.arrived.append(order.client_order_id)
        if fault == "reject":
            raise OrderRejected("no", code="-2010", reason="insufficient balance")
        if fault == "bug":
            raise RuntimeError("a library's own exception")
        emit, self.emit = self.emit, (lambda _event: None) if fault == "lost" else self.emit
        self._accept(order)
        self.emit = emit
        if fault == "lost":
            raise OutcomeUnknown("no answer", request_id=order.client_order_id)
        return 1

    async def cancel(self, cancel: e.CancelOrder) -> None:
        if self.cancel_faults:
            self.cancel_faults -= 1
            raise VenueUnavailable("not heard")
        self._end(cancel.client_order_id, OrderState.CANCELED)

    async def cancel_all(self) -> int:
        if not self.is_reachable:
            raise VenueUnavailable("the exchange is away")
        resting = await self.open_orders()
        for order_id in resting:
            self._end(order_id, OrderState.CANCELED)
        return len(resting)

    async def ask(self, ask: e.AskOrder) -> None:
        held = self.orders.get(ask.client_order_id)
        if held is None:
            self._tell(ask.client_order_id, OrderState.REJECTED, 0)
            return
        for fill in self.trades:
            if fill.client_order_id == ask.client_order_id:
                self.emit(e.FillReported(time_ns=0, fill=fill))
        self._tell(ask.client_order_id, held.state, held.filled)

    async def open_orders(self) -> Sequence[str]:
        return [order_id for order_id, held in self.orders.items() if held.state.is_open]

    async def fills(self) -> Sequence[Fill]:
        return list(self.trades)

    async def balances(self) -> Mapping[str, int]:
        return dict(self.holdings)

    # --- what the market does

    def show(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]) -> None:
        self.emit(e.BookChanged(time_ns=0, instrument=ETHUSDC.id, bids=tuple(bids), asks=tuple(asks), update_id=1))

    def hit(self, order_id: str, lots: int) -> None:
        """Somebody trades against a resting order of ours."""
        held = self.orders[order_id]
        self._trade(held, lots)
        if held.filled == held.order.qty_lots:
            held.state = OrderState.FILLED
            self._tell(order_id, OrderState.FILLED, held.filled)

    # --- parts

    def _accept(self, order: e.PlaceOrder) -> None:
        held = self.orders[order.client_order_id] = Held(order)
        self._tell(order.client_order_id, OrderState.ACCEPTED, 0)
        if order.time_in_force is TimeInForce.IOC:
            lots = order.qty_lots if self.taken_lots is None else min(order.qty_lots, self.taken_lots)
            if lots:
                self._trade(held, lots)
            held.state = OrderState.FILLED if lots == order.qty_lots else OrderState.EXPIRED
            self._tell(order.client_order_id, held.state, held.filled)

    def _trade(self, held: Held, lots: int) -> None:
        order = held.order
        quote_raw = int(ETHUSDC.notional(order.price_ticks, lots) * USDC.unit)
        base_raw = int(ETHUSDC.qty(lots) * ETH.unit)
        received = base_raw if order.side is Side.BUY else quote_raw
        fee_asset, fee_raw = (ETH if order.side is Side.BUY else USDC), -(-received * 4 // 10_000)
        held.filled += lots
        self.holdings[ETH.id] += order.side.sign * base_raw
        self.holdings[USDC.id] -= order.side.sign * quote_raw
        self.holdings[fee_asset.id] -= fee_raw
        fill = Fill(
            venue=str(VENUE),
            symbol=ETHUSDC.symbol,
            trade_id=str(next(self._trade_ids)),
            client_order_id=order.client_order_id,
            venue_order_id=f"v-{order.client_order_id}",
            side=order.side,
            price_ticks=order.price_ticks,
            qty_lots=lots,
            quote_raw=quote_raw,
            fee_asset=fee_asset.symbol,
            fee_raw=fee_raw,
            is_maker=order.time_in_force is TimeInForce.GTC,
            venue_time_ns=0,
        )
        self.trades.append(fill)
        self.emit(e.FillReported(time_ns=0, fill=fill))

    def _end(self, order_id: str, state: OrderState) -> None:
        held = self.orders.get(order_id)
        if held is not None and held.state.is_open:
            held.state = state
        if held is not None:
            self._tell(order_id, held.state, held.filled)

    def _tell(self, order_id: str, state: OrderState, filled: int) -> None:
        self.emit(e.OrderReported(time_ns=0, client_order_id=order_id, state=state, filled_lots=filled))


@dataclass
class MemoryBooks:
    """The ledger's truth: openings once, each trade once; satisfies `Bookkeeper`."""

    balances: dict[str, int] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    posted: dict[tuple[str, str, str], str] = field(default_factory=dict)
    strategies: dict[tuple[str, str, str], str] = field(default_factory=dict)

    async def post_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        for strategy, fill, instrument in fills:
            key = (fill.venue, fill.symbol, fill.trade_id)
            # As the real ledger: the same trade again must be the same in everything.
            assert self.posted.setdefault(key, repr((strategy, fill))) == repr((strategy, fill))
            if key in self.strategies:
                continue
            self.strategies[key] = strategy
            sign = fill.side.sign
            self._move(instrument.base.id, sign * int(instrument.qty(fill.qty_lots) * instrument.base.unit))
            self._move(instrument.quote.id, -sign * fill.quote_raw)
            self._move(f"{fill.venue}/{fill.fee_asset}", -fill.fee_raw)

    async def open_balances(self, location: str, balances: Mapping[str, int]) -> None:
        if location not in self.opened:
            self.opened.add(location)
            for asset, raw in balances.items():
                self._move(asset, raw)

    def _move(self, asset: str, raw: int) -> None:
        self.balances[asset] = self.balances.get(asset, 0) + raw
