"""Execution without a venue: for paper trading on live data and for backtests on recorded data.

Fills are conservative. A taker walks the shown levels up to its limit. A resting order stands behind what was shown at
its price when it arrived; trades at that price work the queue off first, a trade or an opposite quote beyond the price
fills it. What one trade or quote brings is given to our orders once, best price first. Our orders never change the
shown book. Fees are the instrument's, rounded up to the fee asset's unit.
Swaps execute at the next block against the replica: exact output, or a revert below the minimum; the pool does not
move, because the recorded or live pool is not ours to move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from domain import Fill, OrderState, OrderType, Refused, Side, TimeInForce
from domain import events as e
from engine.market import Markets

SIMULATED_GAS_UNITS = 150_000


@dataclass(slots=True)
class _Resting:
    order: e.PlaceOrder
    left: int
    ahead: int


class Simulator:
    """Answers commands with the events a venue and custody would send. Pure: time comes with the events."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets
        self._resting: dict[str, _Resting] = {}
        self._swaps: list[e.SubmitSwap] = []
        self._trades: dict[str, int] = {}
        self._base_fee_wei = 0

    def on_command(self, command: e.Command, now_ns: int) -> list[e.Event]:
        """What the world answers to a command, at once."""
        match command:
            case e.PlaceOrder():
                return list(self._place(command, now_ns))
            case e.CancelOrder():
                return list(self._cancel([command.client_order_id], now_ns))
            case e.CancelAllOrders():
                return list(self._cancel(list(self._resting), now_ns))
            case e.AskOrder():
                if command.client_order_id in self._resting:
                    return [_report(command.client_order_id, OrderState.ACCEPTED, now_ns)]
                return [_report(command.client_order_id, OrderState.REJECTED, now_ns, "unknown to the venue")]
            case e.SubmitSwap():
                self._swaps.append(command)
        return []

    def on_market(self, event: e.Event) -> list[e.Event]:
        """What a market event does to what rests: call after the kernel's books took it."""
        match event:
            case e.BookChanged():
                return list(self._cross(event))
            case e.TradePrinted():
                return list(self._trade(event))
            case e.BlockSeen():
                self._base_fee_wei = event.base_fee_wei
                return list(self._settle(event))
        return []

    def _place(self, order: e.PlaceOrder, now_ns: int) -> Iterator[e.Event]:
        book = self._markets.books[order.instrument]
        opposite = book.asks if order.side is Side.BUY else book.bids
        crosses = bool(opposite) and (opposite[0][0] - order.price_ticks) * order.side.sign <= 0
        if order.type is OrderType.LIMIT_MAKER and crosses:
            yield _report(order.client_order_id, OrderState.REJECTED, now_ns, "would take")
            return
        yield _report(order.client_order_id, OrderState.ACCEPTED, now_ns)
        left = order.qty_lots
        if order.type is not OrderType.LIMIT_MAKER:
            for price, lots in opposite:
                if left == 0 or (order.type is OrderType.LIMIT and (price - order.price_ticks) * order.side.sign > 0):
                    break
                taken = min(left, lots)
                left -= taken
                yield self._fill(order, price, taken, now_ns, is_maker=False)
        if left and order.time_in_force is TimeInForce.GTC and order.type is not OrderType.MARKET:
            own = book.bids if order.side is Side.BUY else book.asks
            ahead = next((lots for price, lots in own if price == order.price_ticks), 0)
            self._resting[order.client_order_id] = _Resting(order, left, ahead)
        elif left:
            yield _report(order.client_order_id, OrderState.EXPIRED, now_ns)

    def _cancel(self, order_ids: Iterable[str], now_ns: int) -> Iterator[e.Event]:
        for order_id in order_ids:
            if self._resting.pop(order_id, None) is not None:
                yield _report(order_id, OrderState.CANCELED, now_ns)

    def _cross(self, event: e.BookChanged) -> Iterator[e.Event]:
        for side, opposite in ((Side.BUY, event.asks), (Side.SELL, event.bids)):
            given = 0
            for resting in self._at(event.instrument, side):
                beyond = sum(lots for price, lots in opposite if (price - resting.order.price_ticks) * side.sign < 0)
                available = beyond - given
                if available > 0:
                    given += min(resting.left, available)
                    yield from self._fill_resting(resting, available, event.time_ns)

    def _trade(self, event: e.TradePrinted) -> Iterator[e.Event]:
        side = Side.BUY if event.is_buyer_maker else Side.SELL
        left = event.qty_lots
        for resting in self._at(event.instrument, side):
            distance = (event.price_ticks - resting.order.price_ticks) * side.sign
            if distance > 0:
                continue
            available = left
            if distance == 0:
                available = min(left, max(0, event.qty_lots - resting.ahead))
                resting.ahead = max(0, resting.ahead - event.qty_lots)
            if available:
                left -= min(resting.left, available)
                yield from self._fill_resting(resting, available, event.time_ns)

    def _settle(self, block: e.BlockSeen) -> Iterator[e.Event]:
        due, self._swaps = self._swaps, []
        gas = str(SIMULATED_GAS_UNITS * block.base_fee_wei)
        for swap in due:
            pool = self._markets.pools[swap.pool]
            try:
                out = pool.replica.quote_exact_in_down(swap.token_in, int(swap.amount_in))
            except Refused as exc:
                yield e.SwapSettled(time_ns=block.time_ns, intent_id=swap.intent_id, status="refused", reason=exc.rule)
                continue
            good = out >= int(swap.min_amount_out) and block.block_time_s <= swap.deadline_s
            yield e.SwapSettled(
                time_ns=block.time_ns,
                intent_id=swap.intent_id,
                status="mined" if good else "failed",
                amount_in=swap.amount_in if good else "0",
                amount_out=str(out) if good else "0",
                gas_cost_wei=gas,
                block_number=block.number,
                reason="" if good else "reverted",
            )

    def _at(self, instrument: str, side: Side) -> list[_Resting]:
        """What rests on one side, best price first, older first at a price."""
        found = [r for r in self._resting.values() if r.order.instrument == instrument and r.order.side is side]
        return sorted(found, key=lambda resting: -resting.order.price_ticks * side.sign)

    def _fill_resting(self, resting: _Resting, available: int, now_ns: int) -> Iterator[e.Event]:
        taken = min(resting.left, available)
        resting.left -= taken
        if resting.left == 0:
            del self._resting[resting.order.client_order_id]
        yield self._fill(resting.order, resting.order.price_ticks, taken, now_ns, is_maker=True)

    def _fill(self, order: e.PlaceOrder, price: int, lots: int, now_ns: int, *, is_maker: bool) -> e.FillReported:
        instrument = self._markets.instruments[order.instrument]
        # Numbered within its order: order ids are never given twice, so neither are these, over restarts too.
        self._trades[order.client_order_id] = number = self._trades.get(order.client_order_id, 0) + 1
        quote_raw = int(instrument.notional(price, lots) * instrument.quote.unit)
        received, received_raw = (
            (instrument.base, int(instrument.qty(lots) * instrument.base.unit))
            if order.side is Side.BUY
            else (instrument.quote, quote_raw)
        )
        fee_bps = instrument.maker_fee_bps if is_maker else instrument.taker_fee_bps
        fill = Fill(
            venue=str(instrument.venue),
            symbol=instrument.symbol,
            trade_id=f"sim-{order.client_order_id}-{number}",
            client_order_id=order.client_order_id,
            venue_order_id=f"sim-{order.client_order_id}",
            side=order.side,
            price_ticks=price,
            qty_lots=lots,
            quote_raw=quote_raw,
            fee_asset=received.symbol,
            fee_raw=_fee_up(received_raw, fee_bps),
            is_maker=is_maker,
            venue_time_ns=now_ns,
        )
        return e.FillReported(time_ns=now_ns, fill=fill)


def _fee_up(received_raw: int, fee_bps: Decimal) -> int:
    return int((Decimal(received_raw) * fee_bps / 10_000).to_integral_value(ROUND_CEILING))


def _report(client_order_id: str, state: OrderState, now_ns: int, reason: str = "") -> e.OrderReported:
    return e.OrderReported(time_ns=now_ns, client_order_id=client_order_id, state=state, reason=reason)
