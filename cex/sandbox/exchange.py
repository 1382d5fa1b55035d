"""The exchange itself: accounts, balances, fees and orders around the matching engines. Commands in, events out.

Pure: no sockets, no threads, time from an injected clock. All amounts are integers of 1e-8. A commission is charged in
the asset received, at `fee_bps` of it, rounded down to 1e-8 and credited to the fee account; what a report says was
charged is what was charged, so the sum over all accounts of each asset never changes.

A command either raises `ApiError` and changes nothing, or runs to its end before the next one starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

import capstan_native as native

from cex.sandbox import errors, filters
from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT_DECIMALS, AccountSpec, LimitsConfig, SymbolSpec
from cex.sandbox.market import Market
from cex.sandbox.orders import (
    PREVENTION_CODES,
    TIME_IN_FORCE_CODES,
    TYPE_CODES,
    BalancesChanged,
    BookTouched,
    ExchangeEvent,
    NewOrder,
    Order,
    OrderReported,
    PublicTrade,
    Status,
    Trade,
)
from domain import InputError, InvariantError, parse_units

_PIPS: Final = 1_000_000


class Exchange:
    """See the module. `emit` is called with every event, in order, while the command runs; it must not call back."""

    def __init__(
        self,
        symbols: Iterable[SymbolSpec],
        accounts: Iterable[AccountSpec],
        clock_ms: Callable[[], int],
        *,
        reference_prices: Mapping[str, int],
        maker_fee_bps: Decimal = Decimal(10),
        taker_fee_bps: Decimal = Decimal(10),
        limits: LimitsConfig | None = None,
    ) -> None:
        self.clock_ms = clock_ms
        self.limits = limits or LimitsConfig()
        self.markets = {spec.name: Market(spec, reference_prices[spec.name]) for spec in symbols}
        self.maker_fee_pips, self.taker_fee_pips = _pips(maker_fee_bps), _pips(taker_fee_bps)
        self.accounts: list[Account] = []
        self.fees = self.open_account(AccountSpec("fees", ""), is_background=True)
        for spec in accounts:
            self.open_account(spec)
        self.emit: Callable[[ExchangeEvent], None] = _ignore
        self._orders: dict[int, Order] = {}
        """Open orders by id, of every account."""
        self._last_order_id = 0
        self._last_queue_number = 0
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

    def counters(self) -> dict[str, int]:
        """Give what a restart needs beside accounts, orders and markets."""
        return {
            "last_order_id": self._last_order_id,
            "last_execution_id": self.last_execution_id,
            "last_queue_number": self._last_queue_number,
        }

    def resume(self, counters: dict[str, int], orders: list[Order]) -> None:
        """Take up the orders of an exchange before this one, given by id; balances hold what they lock already.

        Raises:
            InvariantError: The open ones would trade with one another.
        """
        self._last_order_id, self.last_execution_id = counters["last_order_id"], counters["last_execution_id"]
        self._last_queue_number = counters["last_queue_number"]
        for order in orders:
            order.account.opened(order)
        for order in sorted(orders, key=lambda order: (order.status.is_open, order.updated_ms, order.id)):
            # Of several with one client order id, the name is the open one's, else the last one's.
            order.account.by_client_id[order.client_order_id] = order
            if not order.status.is_open:
                order.account.ended(order)
        for order in sorted((o for o in orders if o.status.is_open), key=lambda order: order.queue_number):
            self._orders[order.id] = order
            market = self.markets[order.symbol.name]
            rows = market.engine.submit(order.id, order.account.id, order.side, order.price, order.open_lots)
            if rows[0][0] != native.RESTED:
                raise InvariantError(f"order {order.id} of {market.spec.name} does not rest when it is put back")
            market.touch(order.side, order.price)

    def market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise errors.invalid_symbol()
        return market

    # --- commands

    def check(self, account: Account, market: Market, request: NewOrder, replacing: Order | None = None) -> None:
        """Check an order against the filters and the account's open orders, without the balance.

        An order that is about to be replaced neither counts nor occupies its client order id.

        Raises:
            ApiError: -1013 or -2010 (duplicate id).
        """
        filters.check_order(request, market, self.clock_ms())
        others = [order for order in account.open_orders.values() if order is not replacing]
        filters.check_open_orders(sum(order.symbol is market.spec for order in others), self.limits)
        known = account.by_client_id.get(request.client_order_id)
        if known is not None and known is not replacing and known.status.is_open:
            raise errors.duplicate_order()

    def place(self, account: Account, symbol: str, request: NewOrder) -> Order:
        """Accept and match an order.

        Raises:
            ApiError: Filters, duplicate id, balance, or a post-only order that would take. Nothing was changed.
        """
        market = self.market(symbol)
        if not account.is_background:
            self.check(account, market, request)
        spec = market.spec
        price, lots = request.price_raw // spec.tick_raw, request.qty_raw // spec.lot_raw
        if request.type == "LIMIT_MAKER" and _takes(market, request.side, price):
            raise errors.would_take()
        budget = self._check_market_funds(account, market, request, lots) if request.type == "MARKET" else 0
        now = self.clock_ms()
        self._last_order_id += 1
        order = Order(
            id=self._last_order_id,
            account=account,
            symbol=spec,
            client_order_id=request.client_order_id or f"x-{self._last_order_id}",
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            self_trade_prevention=request.self_trade_prevention,
            price=0 if request.type == "MARKET" else price,
            lots=lots,
            quote_budget_raw=request.quote_qty_raw,
            created_ms=now,
            updated_ms=now,
        )
        if order.reserves:
            needed = order.reserve_raw(lots)
            if account.balance(order.reserved_asset).free < needed:
                raise errors.insufficient_balance()
            account.lock(order.reserved_asset, needed)
        self._orders[order.id] = order
        account.opened(order)
        self._report(order, "NEW")
        self._report_balances(account, order.reserved_asset)
        rows = market.engine.submit(
            order.id,
            account.id,
            order.side,
            order.price,
            lots,
            TYPE_CODES[order.type],
            TIME_IN_FORCE_CODES[order.time_in_force],
            PREVENTION_CODES[order.self_trade_prevention],
            budget,
        )
        if budget:
            order.lots = sum(row[4] for row in rows if row[0] == native.TRADED)
            order.is_cut_short = any(
                row[0] in (native.EXPIRED, native.PREVENTED) and row[1] == order.id for row in rows
            )
        self._apply(market, rows)
        return order

    def cancel(self, order: Order, cancel_id: str = "") -> Order:
        """Cancel an open order.

        Raises:
            ApiError: -2011, it is not open.
        """
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        market = self.markets[order.symbol.name]
        rows = market.engine.cancel(order.id)
        self._apply(market, rows, cancel_id=cancel_id or f"c-{order.id}")
        return order

    def reject(self, order: Order) -> None:
        """Throw an open order out, of the exchange's own accord.

        Raises:
            ApiError: -2011, it is not open.
        """
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        market = self.markets[order.symbol.name]
        self._apply(market, market.engine.cancel(order.id), ended=Status.REJECTED)

    def amend(self, order: Order, qty_raw: int, new_client_order_id: str) -> Order:
        """Reduce an order's size; it keeps its place in the queue.

        Raises:
            ApiError: -2038 or -1013. Nothing was changed.
        """
        spec, account = order.symbol, order.account
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        if qty_raw % spec.lot_raw:
            raise errors.filter_failure("LOT_SIZE")
        lots = qty_raw // spec.lot_raw
        if not order.filled_lots < lots < order.lots:
            raise errors.amend_rejected("the new quantity must lie between the executed and the present one.")
        filters.check_notional(spec, lots * order.price * spec.notional_unit)
        known = account.by_client_id.get(new_client_order_id)
        if known is not None and known is not order and known.status.is_open:
            raise errors.duplicate_order()
        market = self.markets[spec.name]
        rows = market.engine.reduce(order.id, lots - order.filled_lots)
        account.unlock(order.reserved_asset, order.reserve_raw(order.lots - lots))
        order.lots, order.updated_ms = lots, self.clock_ms()
        former = order.client_order_id
        account.renamed(order, new_client_order_id)
        self._apply(market, rows)
        self._report(order, "REPLACED", original=former)
        self._report_balances(account, order.reserved_asset)
        return order

    def move(self, account: Account, asset: str, raw: int) -> None:
        """Let coins into an account (positive) or out of its free balance, and report it."""
        if raw < 0:
            account.debit(asset, -raw)
        else:
            account.credit(asset, raw)
        self._report_balances(account, asset)

    # --- what the engine said, booked

    def _apply(
        self, market: Market, rows: list[native.Row], cancel_id: str = "", ended: Status = Status.CANCELED
    ) -> None:
        printed: list[PublicTrade] = []
        touched = False
        for kind, id_, other, price, lots, _left in rows:
            if kind == native.TRADED:
                printed.append(self._trade(market, self._orders[id_], self._orders[other], price, lots))
            elif kind == native.LEVEL:
                market.touch(id_, price)
                touched = True
            elif kind == native.RESTED:
                self._last_queue_number += 1
                self._orders[id_].queue_number = self._last_queue_number
            elif kind == native.CANCELED:
                self._end(self._orders[id_], ended, cancel_id=cancel_id)
            elif kind == native.EXPIRED:
                self._end(self._orders[id_], Status.EXPIRED)
            elif kind == native.PREVENTED:
                self._end(self._orders[id_], Status.EXPIRED_IN_MATCH)
            elif kind == native.REJECTED:
                # Everything the engine could object to was checked before.
                raise InvariantError(f"engine rejected order {id_} of {market.spec.name} with reason {other}")
        for aggregate in market.aggregate(printed):
            self.emit(aggregate)
        if touched:
            self.emit(BookTouched(market.spec))

    def _trade(self, market: Market, taker: Order, maker: Order, price: int, lots: int) -> PublicTrade:
        spec, now, trade_id = market.spec, self.clock_ms(), market.next_trade_id()
        quote_raw = lots * price * spec.notional_unit
        # Both sides are booked before either is reported: a report never shows half a trade.
        booked = [
            (order, self._book(order, price, lots, quote_raw, trade_id, now, order is maker))
            for order in (taker, maker)
        ]
        buyer, seller = (taker, maker) if taker.side == native.BUY else (maker, taker)
        public = PublicTrade(trade_id, spec, price, lots, quote_raw, now, buyer is maker, buyer.id, seller.id)
        market.printed(public)
        for order, trade in booked:
            self._report(order, "TRADE", trade=trade)
            self._report_balances(order.account, spec.base, spec.quote)
            if not order.status.is_open:
                self._forget(order)
        self.emit(public)
        return public

    def _book(
        self, order: Order, price: int, lots: int, quote_raw: int, trade_id: int, now: int, is_maker: bool
    ) -> Trade:
        """Move one side's money for a trade."""
        spec, account = order.symbol, order.account
        is_buyer = order.side == native.BUY
        paid_asset, paid = (spec.quote, quote_raw) if is_buyer else (spec.base, lots * spec.lot_raw)
        received_asset, received = (spec.base, lots * spec.lot_raw) if is_buyer else (spec.quote, quote_raw)
        if order.reserves:
            reserved = order.reserve_raw(lots)
            account.spend_locked(paid_asset, reserved)
            account.credit(paid_asset, reserved - paid)  # A buyer gets back what a better price saved.
        else:
            account.debit(paid_asset, paid)
        fee = received * (self.maker_fee_pips if is_maker else self.taker_fee_pips) // _PIPS
        account.credit(received_asset, received - fee)
        self.fees.credit(received_asset, fee)
        order.filled_lots += lots
        order.quote_filled_raw += quote_raw
        order.updated_ms = now
        done = order.filled_lots == order.lots and not order.is_cut_short
        order.status = Status.FILLED if done else Status.PARTIALLY_FILLED
        trade = Trade(trade_id, spec, order.id, price, lots, quote_raw, fee, received_asset, now, is_buyer, is_maker)
        if not account.is_background:
            order.trades.append(trade)
        account.traded(trade)
        return trade

    def _end(self, order: Order, status: Status, *, cancel_id: str = "") -> None:
        """End an order that did not fill whole: give back what it still locks, then report."""
        if order.reserves:
            order.account.unlock(order.reserved_asset, order.reserve_raw(order.open_lots))
        order.status, order.updated_ms = status, self.clock_ms()
        self._forget(order)
        if status is Status.CANCELED:
            self._report(order, "CANCELED", original=order.client_order_id, client_order_id=cancel_id)
        elif status is Status.EXPIRED_IN_MATCH:
            self._report(order, "TRADE_PREVENTION")
        elif status is Status.EXPIRED:
            self._report(order, "EXPIRED")
        elif status is Status.REJECTED:
            self._report(order, "REJECTED")
        self._report_balances(order.account, order.symbol.base, order.symbol.quote)

    def _forget(self, order: Order) -> None:
        del self._orders[order.id]
        order.account.ended(order)

    def _check_market_funds(self, account: Account, market: Market, request: NewOrder, lots: int) -> int:
        """Check that a market order can be paid for; return its budget in ticks times lots, 0 when given in lots.

        The engine's estimate leaves out the account's own orders, so that it is never below what will be paid.
        """
        spec, free = (
            market.spec,
            account.balance(market.spec.quote if request.side == native.BUY else market.spec.base).free,
        )
        budget = request.quote_qty_raw // spec.notional_unit
        if request.side == native.BUY:
            cost = budget or market.engine.cost_of(native.BUY, lots, account.id)[1]
            enough = free >= max(cost * spec.notional_unit, request.quote_qty_raw)
        else:
            needed = market.engine.lots_for(native.SELL, budget, account.id) if budget else lots
            enough = free >= needed * spec.lot_raw
        if not enough:
            raise errors.insufficient_balance()
        return budget

    # --- reports

    def _report(
        self, order: Order, execution: str, *, trade: Trade | None = None, original: str = "", client_order_id: str = ""
    ) -> None:
        if order.account.is_background:
            return
        self.last_execution_id += 1
        self.emit(
            OrderReported(
                order,
                execution,
                self.clock_ms(),
                self.last_execution_id,
                order.status,
                order.filled_lots,
                order.quote_filled_raw,
                client_order_id or order.client_order_id,
                original,
                trade,
            )
        )

    def _report_balances(self, account: Account, *assets: str) -> None:
        if account.is_background:
            return
        account.updated_ms = self.clock_ms()
        balances = tuple((asset, (b := account.balance(asset)).free, b.locked) for asset in assets)
        self.emit(BalancesChanged(account, account.updated_ms, balances))


def _pips(bps: Decimal) -> int:
    pips = bps * 100
    if pips != pips.to_integral_value() or not 0 <= pips < _PIPS:
        raise InputError(f"a fee of {bps} bps is not a whole number of hundredths of a basis point in 0..10000")
    return int(pips)


def _takes(market: Market, side: int, price: int) -> bool:
    best = market.engine.best(native.SELL if side == native.BUY else native.BUY)
    if best is None:
        return False
    return price >= best[0] if side == native.BUY else price <= best[0]


def _ignore(_event: ExchangeEvent) -> None:
    return
