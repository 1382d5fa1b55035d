"""How accepted orders run: what the engines answer is booked, and what follows from it happens before the command ends.

First come the consequences within order lists, so that an order whose sibling traded is gone before it could be
triggered; then the stop orders that trades reached, one after another in the order `triggers.py` gives.

A stop order without a limit locks its size at the stop price. Triggered, it gets that back and takes what it can pay
for whole, or expires. The two orders of an OCO lock together what the greater of them needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import capstan_native as native

from cex.sandbox import errors
from cex.sandbox.booking import Booking
from cex.sandbox.errors import ApiError
from cex.sandbox.market import Market
from cex.sandbox.orders import (
    PREVENTION_CODES,
    TIME_IN_FORCE_CODES,
    TYPE_CODES,
    BookTouched,
    Order,
    OrderList,
    PreventedMatch,
    PublicTrade,
    Status,
)
from cex.sandbox.triggers import is_reached
from domain import InvariantError


class Execution:
    """See the module."""

    def __init__(self, booking: Booking, markets: Mapping[str, Market], clock_ms: Callable[[], int]) -> None:
        self._booking = booking
        self._markets = markets
        self._clock_ms = clock_ms
        self.last_queue_number = 0
        self._stirred: deque[Order] = deque()
        """Orders of lists to which something happened."""
        self._triggered: deque[Order] = deque()

    # --- where orders go, and whence they come back

    def start(self, market: Market, order: Order, budget: int = 0) -> None:
        """Let an accepted order wait for its price, or match it. A budget is in ticks times lots."""
        if order.is_waiting:
            market.triggers.add(order)
            return
        rows = market.engine.submit(
            order.id,
            order.account.id,
            order.side,
            order.price,
            order.open_lots,
            TYPE_CODES[order.type],
            TIME_IN_FORCE_CODES[order.time_in_force],
            PREVENTION_CODES[order.self_trade_prevention],
            budget,
            min(order.iceberg_lots, order.open_lots),
        )
        if budget:
            own = [row for row in rows if row[1] == order.id]
            order.lots = sum(row[4] for row in own if row[0] in (native.TRADED, native.PREVENTED))
            order.is_cut_short = any(
                row[0] == native.EXPIRED or (row[0] == native.PREVENTED and not row[5]) for row in own
            )
        self.apply(market, rows, taker=order)

    def put_back(self, order: Order) -> None:
        """Let an open order of an exchange before this one wait where it waited; called in the order of their queues.

        Raises:
            InvariantError: It would trade with one that was put back before.
        """
        market = self._markets[order.symbol.name]
        if order.is_waiting:
            market.triggers.add(order)
        elif order.status is not Status.PENDING_NEW:
            shown = order.shown_lots if order.iceberg_lots else order.open_lots
            queued = (order.side, order.price, shown, order.open_lots - shown, order.iceberg_lots)
            rows = market.engine.put_back(order.id, order.account.id, *queued)
            if rows[0][0] != native.RESTED:
                raise InvariantError(f"order {order.id} of {market.spec.name} does not rest when it is put back")
            market.touch(order.side, order.price)

    def withdraw(self, order: Order, status: Status, cancel_id: str = "") -> None:
        """End an open order, wherever it waits."""
        market = self._markets[order.symbol.name]
        if order.working_ms >= 0:
            self.apply(market, market.engine.cancel(order.id), status, cancel_id)
            return
        market.triggers.discard(order)
        self._end(order, status, cancel_id=cancel_id)

    def apply(
        self,
        market: Market,
        rows: list[native.Row],
        status: Status = Status.CANCELED,
        cancel_id: str = "",
        taker: Order | None = None,
    ) -> None:
        """Book what an engine answered; `status` is what its cancels mean, `taker` the order that was submitted."""
        printed: list[PublicTrade] = []
        touched = False
        # What one order trades, it trades at one time: aggregates and clients join trades by it.
        orders, now = self._booking.orders, self._clock_ms()
        for kind, id_, other, price, lots, left in rows:
            if kind == native.TRADED:
                taking, maker = orders[id_], orders[other]
                maker.shown_lots -= lots
                printed.append(self._booking.trade(market, taking, maker, price, lots, now))
                self._stir(taking, maker)
            elif kind == native.LEVEL:
                market.touch(id_, price)
                touched = True
            elif kind in (native.RESTED, native.REFILLED):
                self._queue(orders[id_], lots, is_new=kind == native.RESTED)
            elif kind == native.PREVENTED and taker is not None:
                self._prevent(taker, orders[id_], other, price, lots, left)
            elif kind == native.REDUCED:
                orders[id_].shown_lots = min(orders[id_].shown_lots, left)
            elif kind == native.CANCELED:
                self._end(orders[id_], status, cancel_id=cancel_id)
            elif kind == native.EXPIRED:
                self._end(orders[id_], Status.EXPIRED)
            elif kind == native.REJECTED:
                # Everything the engine could object to was checked before.
                raise InvariantError(f"engine rejected order {id_} of {market.spec.name} with reason {other}")
        if printed:
            self._print(market, printed)
        if touched:
            self._booking.emit(BookTouched(market.spec))

    def _print(self, market: Market, trades: list[PublicTrade]) -> None:
        """Publish what one order traded, and see which stops that reaches."""
        for aggregate in market.aggregate(trades):
            self._booking.emit(aggregate)
            if market.triggers:
                triggered, moved = market.triggers.reached(aggregate.price, aggregate.time_ms)
                self._triggered.extend(triggered)
                for order in moved:
                    self._booking.touched(order)

    def _queue(self, order: Order, shown_lots: int, *, is_new: bool) -> None:
        self.last_queue_number += 1
        order.queue_number, order.shown_lots = self.last_queue_number, shown_lots
        if not is_new:
            self._booking.touched(order)

    def _prevent(self, taker: Order, order: Order, other_id: int, price: int, lots: int, left: int) -> None:
        """Book one side of a prevented match. Where both lose something, the maker's side came first."""
        known = taker.prevented[-1] if taker.prevented else None
        if order is not taker:
            order.shown_lots -= lots
            match = self._match(taker, order.id, price, maker_lots=lots)
        elif known is not None and known.maker_order_id == other_id and known.taker_lots is None:
            match = taker.prevented[-1] = replace(known, taker_lots=lots)
        else:
            match = self._match(taker, other_id, price, taker_lots=lots)
        taker.account.prevented_match(match)
        self._booking.prevent(order, match, lots, left, self.relock)
        self._stir(order)

    def _match(self, taker: Order, maker_id: int, price: int, **lots: int) -> PreventedMatch:
        number = self._markets[taker.symbol.name].next_prevented_id()
        mode = taker.self_trade_prevention
        match = PreventedMatch(number, taker.symbol, taker.id, maker_id, mode, price, self._clock_ms(), **lots)
        taker.prevented.append(match)
        return match

    def settle(self) -> None:
        """Run what follows from a command until nothing does. Ends: every stop order is triggered once."""
        while self._stirred or self._triggered:
            if self._stirred:
                self._follow_up(self._stirred.popleft())
            else:
                self._trigger(self._triggered.popleft())

    # --- what follows

    def _trigger(self, order: Order) -> None:
        """Let a stop order work, unless something ended it first."""
        if not order.is_waiting:
            return
        market = self._markets[order.symbol.name]
        order_list = order.order_list
        sibling = order_list.sibling(order) if order_list is not None else None
        if sibling is not None and sibling.status.is_open:
            self.withdraw(sibling, Status.EXPIRED)
        order.working_ms = order.updated_ms = self._clock_ms()
        self._booking.lock_up_to(order, order.reserve_raw(order.open_lots) if order.pays_from_lock else 0)
        self._booking.report(order, "NEW")
        self._booking.report_balances(order.account, order.reserved_asset)
        if order.pays_from_lock or self._can_pay(market, order):
            self.start(market, order)
        else:
            self._end(order, Status.EXPIRED)

    def _follow_up(self, order: Order) -> None:
        """Draw the conclusions of what happened to an order of a list."""
        order_list = order.order_list
        if order_list is None or order_list.is_done:
            return
        first, sibling = order_list.first, order_list.sibling(order)
        ended_unfilled = not order.status.is_open and order.status is not Status.FILLED
        if order is first and order.status is Status.FILLED:
            self._place_pending(order_list)
        elif ended_unfilled and first is not None and (order is first or first.status.is_open):
            self._expire(other for other in order_list.orders if other is not order)
        if sibling is not None and not _is_chosen(sibling) and (_is_chosen(order) or not order.status.is_open):
            self._expire([sibling])
        if not any(other.status.is_open for other in order_list.orders):
            order_list.is_done = True
            order_list.account.ended_list(order_list)
            self._booking.report_list(order_list, "ALL_DONE")

    def _expire(self, orders: Iterable[Order]) -> None:
        for order in orders:
            if order.status.is_open:
                self.withdraw(order, Status.EXPIRED)

    def _place_pending(self, order_list: OrderList) -> None:
        """Place what waited for a list's first order. What cannot be placed, for want of balance or because it would
        take at once where it must not, expires; a stop whose price was passed meanwhile is triggered now.
        """
        market, now = self._markets[order_list.symbol.name], self._clock_ms()
        pending = [order for order in order_list.orders if order.status is Status.PENDING_NEW]
        for order in pending:
            order.status, order.updated_ms = Status.NEW, now
            if order.trailing_since_ms:
                order.trailing_since_ms, order.trailing_best = now, market.last_price
        try:
            self._lock_pending(market, pending)
        except ApiError:
            for order in pending:
                self._end(order, Status.EXPIRED)
            return
        for order in pending:
            order.working_ms = -1 if order.is_stop else now
            self._booking.report(order, "NEW")
            self._booking.report_balances(order.account, order.reserved_asset)
        for order in pending:
            if order.is_waiting and not order.trailing_bips and _is_reached(market, order):
                self._triggered.append(order)
            elif order.status.is_open:
                self.start(market, order)

    def _lock_pending(self, market: Market, pending: list[Order]) -> None:
        """Lock what orders need that are now to be placed.

        Raises:
            ApiError: -2010. Nothing was changed.
        """
        if any(order.type == "LIMIT_MAKER" and takes(market, order.side, order.price) for order in pending):
            raise errors.would_take()
        for order in pending:
            if order.order_list is not None and order.order_list.pair:
                self.lock_pair(order.order_list)
            elif order.type != "MARKET":
                self._booking.lock_up_to(order, order.reserve_raw(order.lots))
            elif not self._can_pay(market, order):
                raise errors.insufficient_balance()

    def _end(self, order: Order, status: Status, *, cancel_id: str = "") -> None:
        self._booking.end(order, status, cancel_id=cancel_id)
        self._stir(order)

    def _stir(self, *orders: Order) -> None:
        for order in orders:
            if order.order_list is not None:
                self._stirred.append(order)

    # --- locks of an order and its sibling

    def relock(self, order: Order) -> None:
        """Lock what an order needs after it became smaller."""
        order_list = order.order_list
        if order.status is Status.PENDING_NEW:
            return
        sibling = order_list.sibling(order) if order_list is not None else None
        if order_list is not None and sibling is not None and sibling.status.is_open:
            self.lock_pair(order_list)
            self._booking.touched(sibling)
        else:
            self._booking.lock_up_to(order, order.reserve_raw(order.open_lots))

    def lock_pair(self, order_list: OrderList) -> None:
        """Lock what the greater of two orders needs: the one in the book its own part, the other what lacks.

        Raises:
            ApiError: -2010. Nothing was changed.
        """
        other, main = sorted(order_list.pair, key=lambda order: order.type == "LIMIT_MAKER")
        main_raw = main.reserve_raw(main.open_lots)
        other_raw = max(0, other.reserve_raw(other.open_lots) - main_raw)
        free = main.account.balance(main.reserved_asset).free
        if free + main.locked_raw + other.locked_raw < main_raw + other_raw:
            raise errors.insufficient_balance()
        self._booking.lock_up_to(other, min(other.locked_raw, other_raw))
        self._booking.lock_up_to(main, main_raw)
        self._booking.lock_up_to(other, other_raw)

    def _can_pay(self, market: Market, order: Order) -> bool:
        """Whether the free balance covers an order without a limit."""
        free = order.account.balance(order.reserved_asset).free
        if order.side == native.SELL:
            return free >= order.reserve_raw(order.open_lots)
        cost = market.engine.cost_of(native.BUY, order.open_lots, order.account.id)[1]
        return free >= cost * order.symbol.notional_unit


def takes(market: Market, side: int, price: int) -> bool:
    """Whether a limit order would find something to trade with."""
    best = market.engine.best(native.SELL if side == native.BUY else native.BUY)
    if best is None:
        return False
    return price >= best[0] if side == native.BUY else price <= best[0]


def _is_chosen(order: Order) -> bool:
    """Whether it is the one of its pair that happened: it traded, or its price was reached."""
    return order.filled_lots > 0 or (order.is_stop and order.working_ms >= 0)


def _is_reached(market: Market, order: Order) -> bool:
    return is_reached(order.type, order.side, order.stop_price, market.last_price)
