"""What happens to orders, booked and told: balances, locks, trades, fees and the events about them.

All amounts are integers of 1e-8. A commission is charged in the asset received, rounded down to 1e-8 and credited to
the fee account; a maker's rebate is taken out of it again. What a report says was charged is what was charged, so the
sum over all accounts of each asset never changes. Knows nothing of matching: the exchange says what happened.
"""

from __future__ import annotations

from collections.abc import Callable

import capstan_native as native

from cex.sandbox import errors
from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT_DECIMALS, AccountSpec
from cex.sandbox.fees import PIPS, FeeSchedule
from cex.sandbox.market import Market
from cex.sandbox.orders import (
    BalancesChanged,
    ExchangeEvent,
    ListReported,
    Order,
    OrderList,
    OrderReported,
    OrderTouched,
    PreventedMatch,
    PublicTrade,
    Status,
    Trade,
)
from domain import parse_units


class Booking:
    """See the module. `emit` is called with every event, in order; it must not call back."""

    def __init__(self, clock_ms: Callable[[], int], schedule: FeeSchedule) -> None:
        self._clock_ms = clock_ms
        self._schedule = schedule
        self.emit: Callable[[ExchangeEvent], None] = _ignore
        self.accounts: list[Account] = []
        self.fees = self.open_account(AccountSpec("fees", ""), is_background=True)
        self.orders: dict[int, Order] = {}
        """Open orders by id, of every account."""
        self.last_execution_id = 0

    def open_account(self, spec: AccountSpec, *, is_background: bool = False) -> Account:
        """Add an account with its starting balances. One of the background that is there already is given as it is."""
        if is_background:
            for known in self.accounts:
                if known.is_background and known.name == spec.name:
                    return known
        account = Account(len(self.accounts), spec, is_background)
        for asset, amount in spec.balances.items():
            account.credit(asset, parse_units(amount, UNIT_DECIMALS))
        self.accounts.append(account)
        return account

    # --- locks

    def lock_up_to(self, order: Order, raw: int) -> None:
        """Let an order lock so much, taking what it lacks from the free balance or giving back what is too much.

        Raises:
            ApiError: -2010. Nothing was changed.
        """
        more = raw - order.locked_raw
        if more > 0:
            if order.account.balance(order.reserved_asset).free < more:
                raise errors.insufficient_balance()
            order.account.lock(order.reserved_asset, more)
        elif more < 0:
            order.account.unlock(order.reserved_asset, -more)
        order.locked_raw = raw

    # --- an order's life

    def opened(self, order: Order) -> None:
        self.orders[order.id] = order
        order.account.opened(order)
        self.report(order, "NEW")
        self.report_balances(order.account, order.reserved_asset)

    def trade(self, market: Market, taker: Order, maker: Order, price: int, lots: int, now: int) -> PublicTrade:
        """Book an execution on both sides, then report it: a report never shows half a trade."""
        spec, trade_id = market.spec, market.next_trade_id()
        quote_raw = lots * price * spec.notional_unit
        booked = [
            (order, self._book(order, price, lots, quote_raw, trade_id, now, order is maker))
            for order in (taker, maker)
        ]
        buyer, seller = (taker, maker) if taker.side == native.BUY else (maker, taker)
        public = PublicTrade(trade_id, spec, price, lots, quote_raw, now, buyer is maker, buyer.id, seller.id)
        market.printed(public)
        for order, trade in booked:
            self.report(order, "TRADE", trade=trade)
            self.report_balances(order.account, spec.base, spec.quote)
            if not order.status.is_open:
                self._forget(order)
        self.emit(public)
        return public

    def prevent(
        self, order: Order, match: PreventedMatch, lots: int, left: int, relock: Callable[[Order], None]
    ) -> None:
        """Take from an order what it would have traded with its own account; without anything left it ends.

        `relock` lets an order that goes on lock what it still needs.
        """
        order.prevented_match_id = match.id
        order.prevented_lots += lots
        is_over = not left or (order.quote_budget_raw > 0 and not order.open_lots and not order.is_cut_short)
        order.updated_ms = match.time_ms
        if not is_over and order.pays_from_lock:
            relock(order)
        if is_over:
            self.lock_up_to(order, 0)
            order.status = Status.EXPIRED_IN_MATCH
            self._forget(order)
        self.report(order, "TRADE_PREVENTION", prevented=match, last_prevented_lots=lots)
        self.report_balances(order.account, order.symbol.base, order.symbol.quote)

    def end(self, order: Order, status: Status, *, cancel_id: str = "") -> None:
        """End an order that did not fill whole: give back what it still locks, then report."""
        self.lock_up_to(order, 0)
        order.status, order.updated_ms = status, self._clock_ms()
        self._forget(order)
        if status is Status.CANCELED:
            self.report(order, "CANCELED", original=order.client_order_id, client_order_id=cancel_id)
        else:
            self.report(order, "REJECTED" if status is Status.REJECTED else "EXPIRED")
        self.report_balances(order.account, order.symbol.base, order.symbol.quote)

    def _book(
        self, order: Order, price: int, lots: int, quote_raw: int, trade_id: int, now: int, is_maker: bool
    ) -> Trade:
        """Move one side's money for a trade."""
        spec, account = order.symbol, order.account
        is_buyer = order.side == native.BUY
        paid_asset, paid = (spec.quote, quote_raw) if is_buyer else (spec.base, lots * spec.lot_raw)
        received_asset, received = (spec.base, lots * spec.lot_raw) if is_buyer else (spec.quote, quote_raw)
        if order.pays_from_lock:
            reserved = order.reserve_raw(lots)
            account.spend_locked(paid_asset, reserved)
            order.locked_raw -= reserved
            account.credit(paid_asset, reserved - paid)  # A buyer gets back what a better price saved.
        else:
            account.debit(paid_asset, paid)
        maker_pips, taker_pips = self._schedule.rates(account, now)
        pips = maker_pips if is_maker else taker_pips
        if pips >= 0:
            fee, fee_asset = received * pips // PIPS, received_asset
            account.credit(received_asset, received - fee)
            self.fees.credit(fee_asset, fee)
        else:
            account.credit(received_asset, received)
            # Paid in what the taker received, out of the commission that was just taken of it.
            fee, fee_asset = -(paid * -pips // PIPS), paid_asset
            self.fees.debit(fee_asset, -fee)
            account.credit(fee_asset, -fee)
        self._schedule.traded(account, spec.quote, quote_raw, now)
        order.filled_lots += lots
        order.quote_filled_raw += quote_raw
        order.updated_ms = now
        done = not order.open_lots and not order.is_cut_short
        order.status = Status.FILLED if done else Status.PARTIALLY_FILLED
        list_id = -1 if order.order_list is None else order.order_list.id
        trade = Trade(
            trade_id, spec, order.id, price, lots, quote_raw, fee, fee_asset, now, is_buyer, is_maker, list_id
        )
        if not account.is_background:
            order.trades.append(trade)
        account.traded(trade)
        return trade

    def _forget(self, order: Order) -> None:
        del self.orders[order.id]
        order.account.ended(order)

    # --- reports

    def report(
        self,
        order: Order,
        execution: str,
        *,
        trade: Trade | None = None,
        original: str = "",
        client_order_id: str = "",
        prevented: PreventedMatch | None = None,
        last_prevented_lots: int = 0,
    ) -> None:
        if order.account.is_background:
            return
        self.last_execution_id += 1
        self.emit(
            OrderReported(
                order,
                execution,
                self._clock_ms(),
                self.last_execution_id,
                order.status,
                order.filled_lots,
                order.quote_filled_raw,
                client_order_id or order.client_order_id,
                original,
                trade,
                order.working_ms,
                prevented,
                order.prevented_lots,
                last_prevented_lots,
            )
        )

    def touched(self, order: Order) -> None:
        """Let who keeps the state know of a change that is not reported."""
        if not order.account.is_background:
            self.emit(OrderTouched(order))

    def report_list(self, order_list: OrderList, status_type: str) -> None:
        order_list.updated_ms = self._clock_ms()
        self.emit(ListReported(order_list, order_list.updated_ms, status_type))

    def report_balances(self, account: Account, *assets: str) -> None:
        if account.is_background:
            return
        account.updated_ms = self._clock_ms()
        balances = tuple((asset, (b := account.balance(asset)).free, b.locked) for asset in assets)
        self.emit(BalancesChanged(account, account.updated_ms, balances))


def _ignore(_event: ExchangeEvent) -> None:
    return
