"""The exchange itself: accounts, balances, fees and orders around the matching engines. Commands in, events out.

Pure: no sockets, no threads, time from an injected clock. Here stands what may happen; `execution.py` runs it and
`booking.py` books and tells it. A command either raises `ApiError` and changes nothing (but for orders whose date had
passed), or runs to its end, with all that follows from it, before the next one starts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import capstan_native as native

from cex.sandbox import errors, filters
from cex.sandbox.accounts import Account
from cex.sandbox.booking import Booking
from cex.sandbox.config import AccountSpec, FeeTier, LimitsConfig, SymbolSpec
from cex.sandbox.execution import Execution, takes
from cex.sandbox.fees import FeeSchedule
from cex.sandbox.market import Market
from cex.sandbox.orders import (
    TYPE_CODES,
    ExchangeEvent,
    ListKind,
    NewOrder,
    NewOrderList,
    Order,
    OrderList,
    Status,
)
from cex.sandbox.triggers import is_reached


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
        fees: FeeSchedule | None = None,
        limits: LimitsConfig | None = None,
    ) -> None:
        self.clock_ms = clock_ms
        self.limits = limits or LimitsConfig()
        self.markets = {spec.name: Market(spec, reference_prices[spec.name]) for spec in symbols}
        self._schedule = fees or FeeSchedule((FeeTier("0", maker_fee_bps, taker_fee_bps),))
        self._booking = Booking(clock_ms, self._schedule)
        for spec in accounts:
            self.open_account(spec)
        self._last_order_id = 0
        self._last_list_id = -1
        self._good_till: list[tuple[int, int]] = []
        """A heap of (date, order id)."""
        self._execution = Execution(self._booking, self.markets, clock_ms)

    @property
    def emit(self) -> Callable[[ExchangeEvent], None]:
        return self._booking.emit

    @emit.setter
    def emit(self, emit: Callable[[ExchangeEvent], None]) -> None:
        self._booking.emit = emit

    @property
    def accounts(self) -> list[Account]:
        return self._booking.accounts

    def clients(self) -> dict[str, Account]:
        """The accounts that are not the background's, by name; one of the background may have any name."""
        return {account.name: account for account in self.accounts if not account.is_background}

    @property
    def fees(self) -> Account:
        """The account that commissions go to."""
        return self._booking.fees

    def fee_pips(self, account: Account) -> tuple[int, int]:
        """What an account pays now as maker and as taker, in hundredths of a basis point."""
        return self._schedule.rates(account, self.clock_ms())

    @property
    def last_execution_id(self) -> int:
        return self._booking.last_execution_id

    def open_account(self, spec: AccountSpec, *, is_background: bool = False) -> Account:
        """Add an account with its starting balances. One of the background that is there already is given as it is."""
        return self._booking.open_account(spec, is_background=is_background)

    def counters(self) -> dict[str, int]:
        """Give what a restart needs beside accounts, orders, lists and markets."""
        return {
            "last_order_id": self._last_order_id,
            "last_list_id": self._last_list_id,
            "last_execution_id": self.last_execution_id,
            "last_queue_number": self._execution.last_queue_number,
        }

    def resume(self, counters: dict[str, int], orders: list[Order], lists: list[OrderList]) -> None:
        """Take up the orders of an exchange before this one, given by id; balances hold what they lock already.

        Raises:
            InvariantError: The open ones would trade with one another.
        """
        self._last_order_id, self._last_list_id = counters["last_order_id"], counters["last_list_id"]
        self._booking.last_execution_id = counters["last_execution_id"]
        self._execution.last_queue_number = counters["last_queue_number"]
        for order_list in lists:
            order_list.account.opened_list(order_list)
            if order_list.is_done:
                order_list.account.ended_list(order_list)
        for order in orders:
            order.account.opened(order)
        for order in sorted(orders, key=lambda order: (order.status.is_open, order.updated_ms, order.id)):
            # Of several with one client order id, the name is the open one's, else the last one's.
            order.account.by_client_id[order.client_order_id] = order
            if not order.status.is_open:
                order.account.ended(order)
        still_open = [order for order in orders if order.status.is_open]
        self._good_till = sorted((order.good_till_ms, order.id) for order in still_open if order.good_till_ms)
        for order in sorted(still_open, key=lambda order: order.queue_number):
            self._booking.orders[order.id] = order
            self._execution.put_back(order)

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
        filters.check_order(request, market, self.limits, self.clock_ms())
        filters.check_open_orders([request], account, market.spec, self.limits, replacing)
        filters.check_position([request], account, market, replacing)
        self._check_client_order_id(account, request.client_order_id, replacing)

    def check_list(self, account: Account, market: Market, request: NewOrderList) -> None:
        """Check an order list as `check` does an order.

        Raises:
            ApiError: -1013 or -2010.
        """
        for order in request.orders:
            filters.check_order(order, market, self.limits, self.clock_ms())
            self._check_client_order_id(account, order.client_order_id, None)
        filters.check_open_orders(request.orders, account, market.spec, self.limits, None)
        filters.check_position(request.orders, account, market, None)
        filters.check_open_lists(account, market.spec, self.limits)
        ids = [order.client_order_id for order in request.orders if order.client_order_id]
        known = account.lists_by_client_id.get(request.client_order_id)
        if len(set(ids)) != len(ids) or (known is not None and not known.is_done):
            raise errors.duplicate_order()
        if request.kind is not ListKind.OTO:
            last_price = market.last_price * market.spec.tick_raw if request.kind is ListKind.OCO else None
            filters.check_pair(request.orders[-2], request.orders[-1], last_price)

    def place(self, account: Account, symbol: str, request: NewOrder) -> Order:
        """Accept and match an order.

        Raises:
            ApiError: Filters, duplicate id, balance, a post-only order that would take, or a stop that is reached
                already. Nothing was changed.
        """
        self.expire_due()
        market = self.market(symbol)
        if not account.is_background:
            self.check(account, market, request)
        _check_start(market, request)
        budget = self._check_market_funds(account, market, request) if request.type == "MARKET" else 0
        order = self._make(account, market, request, self._last_order_id + 1)
        if request.type != "MARKET":
            self._booking.lock_up_to(order, order.reserve_raw(order.lots))
        self._open(order)
        self._execution.start(market, order, budget)
        self._execution.settle()
        return order

    def place_list(self, account: Account, symbol: str, request: NewOrderList) -> OrderList:
        """Accept orders that depend on one another.

        Raises:
            ApiError: As `place`, for any of them. Nothing was changed.
        """
        self.expire_due()
        market, now = self.market(symbol), self.clock_ms()
        self.check_list(account, market, request)
        starting = len(request.orders) if request.kind is ListKind.OCO else 1
        for leg in request.orders[:starting]:
            _check_start(market, leg)
        list_id = self._last_list_id + 1
        client_id = request.client_order_id or f"l-{list_id}"
        order_list = OrderList(list_id, account, market.spec, request.kind, client_id, now, now)
        for leg in request.orders:
            order = self._make(account, market, leg, self._last_order_id + 1 + len(order_list.orders))
            order.order_list = order_list
            order_list.orders.append(order)
        if request.kind is ListKind.OCO:
            self._execution.lock_pair(order_list)
        else:
            self._booking.lock_up_to(order_list.orders[0], order_list.orders[0].reserve_raw(order_list.orders[0].lots))
        self._last_list_id = list_id
        account.opened_list(order_list)
        for number, order in enumerate(order_list.orders):
            if number >= starting:
                order.status = Status.PENDING_NEW
            self._open(order)
        self._booking.report_list(order_list, "EXEC_STARTED")
        for order in order_list.orders[:starting]:
            self._execution.start(market, order)
        self._execution.settle()
        return order_list

    def cancel(self, order: Order, cancel_id: str = "") -> Order:
        """Cancel an open order, and with it the list it belongs to.

        Raises:
            ApiError: -2011, it is not open.
        """
        self.expire_due()
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        orders = order.order_list.orders if order.order_list is not None else [order]
        for leg in [order, *(other for other in orders if other is not order)]:
            if leg.status.is_open:
                self._execution.withdraw(leg, Status.CANCELED, cancel_id or f"c-{leg.id}")
        self._execution.settle()
        return order

    def reject(self, order: Order) -> None:
        """Throw an open order out, of the exchange's own accord; what it belonged to expires.

        Raises:
            ApiError: -2011, it is not open.
        """
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        self._execution.withdraw(order, Status.REJECTED)
        self._execution.settle()

    def amend(self, order: Order, qty_raw: int, new_client_order_id: str) -> Order:
        """Reduce an order's size; it keeps its place in the queue.

        Raises:
            ApiError: -2038 or -1013. Nothing was changed.
        """
        self.expire_due()
        spec, account = order.symbol, order.account
        if not order.status.is_open:
            raise errors.unknown_order_sent()
        if qty_raw % spec.lot_raw:
            raise errors.filter_failure("LOT_SIZE")
        lots = qty_raw // spec.lot_raw
        gone = order.lots - order.open_lots
        if not gone < lots < order.lots:
            raise errors.amend_rejected("the new quantity must lie between the executed and the present one.")
        filters.check_notional(spec, lots * order.worth * spec.notional_unit)
        self._check_client_order_id(account, new_client_order_id, order)
        market = self.markets[spec.name]
        rows = market.engine.reduce(order.id, lots - gone) if order.working_ms >= 0 else []
        former, former_lots = order.client_order_id, order.lots
        order.lots, order.updated_ms = lots, self.clock_ms()
        self._execution.relock(order)
        account.renamed(order, new_client_order_id)
        self._execution.apply(market, rows)
        step = [self.last_execution_id + 1, former, new_client_order_id, former_lots, lots, order.updated_ms]
        order.amendments.append(step)
        self._booking.report(order, "REPLACED", original=former)
        self._booking.report_balances(account, order.reserved_asset)
        if order.order_list is not None:
            self._booking.report_list(order.order_list, "UPDATED")
        return order

    def move(self, account: Account, asset: str, raw: int) -> None:
        """Let coins into an account (positive) or out of its free balance, and report it."""
        if raw < 0:
            account.debit(asset, -raw)
        else:
            account.credit(asset, raw)
        self._booking.report_balances(account, asset)

    def expire_due(self) -> None:
        """End the orders whose date has passed. Every command does so first; between commands a server calls it."""
        if not self._good_till or self._good_till[0][0] > self.clock_ms():
            return
        now = self.clock_ms()
        while self._good_till and self._good_till[0][0] <= now:
            order = self._booking.orders.get(heapq.heappop(self._good_till)[1])
            if order is not None:
                self._execution.withdraw(order, Status.EXPIRED)
        self._execution.settle()

    # --- parts of placing

    def _check_client_order_id(self, account: Account, client_order_id: str, replacing: Order | None) -> None:
        known = account.by_client_id.get(client_order_id)
        if known is not None and known is not replacing and known.status.is_open:
            raise errors.duplicate_order()

    def _make(self, account: Account, market: Market, request: NewOrder, order_id: int) -> Order:
        spec, now = market.spec, self.clock_ms()
        follows_at_once = bool(request.trailing_bips and not request.stop_raw)
        return Order(
            id=order_id,
            account=account,
            symbol=spec,
            client_order_id=request.client_order_id or f"x-{order_id}",
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            self_trade_prevention=request.self_trade_prevention,
            price=0 if TYPE_CODES[request.type] == native.MARKET else request.price_raw // spec.tick_raw,
            lots=request.qty_raw // spec.lot_raw,
            quote_budget_raw=request.quote_qty_raw,
            created_ms=now,
            updated_ms=now,
            stop_price=request.stop_raw // spec.tick_raw,
            trailing_bips=request.trailing_bips,
            iceberg_lots=request.iceberg_raw // spec.lot_raw,
            trailing_since_ms=now if follows_at_once else 0,
            trailing_best=market.last_price if follows_at_once else 0,
            good_till_ms=request.good_till_ms,
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
        )

    def _open(self, order: Order) -> None:
        self._last_order_id = order.id
        if order.good_till_ms:
            heapq.heappush(self._good_till, (order.good_till_ms, order.id))
        if order.status is Status.NEW and not order.is_stop:
            order.working_ms = order.updated_ms
        self._booking.opened(order)

    def _check_market_funds(self, account: Account, market: Market, request: NewOrder) -> int:
        """Check that a market order can be paid for; return its budget in ticks times lots, 0 when given in lots.

        The engine's estimate leaves out the account's own orders, so that it is never below what will be paid.
        """
        spec = market.spec
        free = account.balance(spec.quote if request.side == native.BUY else spec.base).free
        budget = request.quote_qty_raw // spec.notional_unit
        lots = request.qty_raw // spec.lot_raw
        if request.side == native.BUY:
            cost = budget or market.engine.cost_of(native.BUY, lots, account.id)[1]
            enough = free >= max(cost * spec.notional_unit, request.quote_qty_raw)
        else:
            needed = market.engine.lots_for(native.SELL, budget, account.id) if budget else lots
            enough = free >= needed * spec.lot_raw
        if not enough:
            raise errors.insufficient_balance()
        return budget


def _check_start(market: Market, request: NewOrder) -> None:
    """Refuse what must not match at once and would.

    Raises:
        ApiError: -2010.
    """
    spec = market.spec
    if request.type == "LIMIT_MAKER" and takes(market, request.side, request.price_raw // spec.tick_raw):
        raise errors.would_take()
    stop_price = request.stop_raw // spec.tick_raw
    is_plain_stop = request.is_stop and not request.trailing_bips
    if is_plain_stop and is_reached(request.type, request.side, stop_price, market.last_price):
        raise errors.would_trigger()
