"""The kernel in plain Python, in words and floats: what strategies and gate did before the native one took over.

    event ──> state (books, replicas, orders, portfolio) ──> strategies ──> risk gate ──> commands

It has no clock, no randomness and no hash order: the same events give the same commands. Whoever runs it journals each
event before the step and carries out the commands after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from domain import Asset, Fill, InputError, InvariantError, Order, OrderState, OrderType, Side, TimeInForce
from domain import events as e
from engine.market import Book, Markets, PoolMarket
from engine.portfolio import Portfolio
from tests.reference.python_oms import OrderManager
from tests.reference.python_risk import Rejection, RiskGate
from tests.reference.python_strategy import Strategy

KILLED = "killed"
FOREIGN = "unattributed"
"""The strategy that trades nobody ordered are booked under."""
CANCEL_AGAIN_NS = 2_000_000_000
"""A cancel that did not end its order is sent again after this long: it, or the order before it, got lost."""


class TradesPredateRun(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="message"):
    """Trades the account made before this run began: its opening balances contain them, so they are never booked."""

    time_ns: int
    venue: str
    trades: tuple[tuple[str, str], ...]
    """(symbol, trade id)."""


class StrategiesHalted(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="message"):
    """Every strategy is stopped until an operator resumes them."""

    reason: str


class Kernel:
    """One run's whole decision state. Not thread-safe; one owner calls `step`."""

    def __init__(
        self,
        *,
        run: str,
        markets: Markets,
        portfolio: Portfolio,
        risk: RiskGate,
        strategies: Sequence[Strategy],
        gas_asset: Asset | None,
    ) -> None:
        if len({s.id for s in strategies}) != len(strategies):
            raise InputError("two strategies have the same id")
        self.run = run
        self.markets = markets
        self.portfolio = portfolio
        self.orders = OrderManager(run)
        self.risk = risk
        self.strategies = tuple(strategies)
        self.swaps: dict[str, e.SubmitSwap] = {}
        self.settled: dict[str, e.SwapSettled] = {}
        self.trades_booked = 0
        self.halted = ""
        self.stopping = False
        self.now_ns = 0
        self.head: e.BlockSeen | None = None
        self.marks: dict[str, float] = dict.fromkeys(portfolio.mark_instruments(), 0.0)
        self._gas_asset = gas_asset
        self._swap_sequence = 0
        self._cause_ns = 0
        self._foreign_trades: set[tuple[str, str, str]] = set()
        self._commands: list[e.Command] = []
        self._contexts = tuple(StrategyContext(self, s.id) for s in strategies)
        self._handlers: dict[type, Callable[[Any], None]] = {
            e.BookChanged: self._on_book,
            e.BookInvalidated: self._on_book_invalid,
            e.OrderReported: self._on_order,
            e.FillReported: self._on_fill,
            e.BalanceReported: self._on_balance,
            TradesPredateRun: self._on_earlier_trades,
            e.BlockSeen: self._on_block,
            e.PoolSnapshotted: self._on_pool,
            e.PoolSynced: self._on_pool,
            e.PoolSwapped: self._on_pool,
            e.PoolLiquidityChanged: self._on_pool,
            e.PoolInvalidated: self._on_pool,
            e.SwapSettled: self._on_settled,
            e.TimerFired: self._on_timer,
            e.OperatorSpoke: self._on_operator,
            e.EngineRestarted: self._on_restart,
        }

    def step(self, event: e.Event) -> list[e.Command]:
        """Take one event and answer what to do about it.

        Raises:
            InvariantError: The event contradicts what is known; the caller stops trading and tells someone.
        """
        self._commands = []
        if isinstance(event, e.DecisionsStamped):
            return self._commands
        self.now_ns = event.time_ns
        self._cause_ns = event.received_ns if isinstance(event, e.BookChanged) else 0
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
        # Halted strategies are told too, so that they know where they stand when they are resumed; they cannot act.
        for strategy, context in zip(self.strategies, self._contexts, strict=True):
            strategy.on_event(event, context)
        return self._commands

    def knows_trade(self, fill: Fill) -> bool:
        """Whether a trade is booked already (or predates the run)."""
        order = self.orders.orders.get(fill.client_order_id)
        if order is not None:
            return fill.trade_id in order.trade_ids
        return (fill.venue, fill.symbol, fill.trade_id) in self._foreign_trades

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight: no order open, no swap unsettled, no strategy in the middle of something."""
        busy = self.orders.open_orders() or self.swaps
        return not busy and (bool(self.halted) or all(s.is_idle for s in self.strategies))

    def result(self, strategy: str | None = None) -> float:
        """Profit and loss since the start, marked, in the unit of account."""
        return self.portfolio.result(self.marks, strategy)

    def halt(self, reason: str) -> None:
        """Stop every strategy and cancel everything; only an operator's `resume` ends it, a restart does not."""
        if self.halted:
            return
        self.halted = reason
        for order in self.orders.open_orders():
            order.cancel_time_ns = self.now_ns
        venues = sorted({str(i.venue) for i in self.markets.instruments.values()})
        self._commands += [e.CancelAllOrders(venue=venue, reason=reason) for venue in venues]
        self._commands.append(StrategiesHalted(reason=reason))

    # --- events

    def _on_book(self, event: e.BookChanged) -> None:
        book = self.markets.books.get(event.instrument)
        if book is None:
            return
        book.apply(event)
        if book.valid:
            self._mark()

    def _on_book_invalid(self, event: e.BookInvalidated) -> None:
        if book := self.markets.books.get(event.instrument):
            book.invalidate()

    def _on_order(self, event: e.OrderReported) -> None:
        self.orders.report(event)

    def _on_fill(self, event: e.FillReported) -> None:
        fill = event.fill
        instrument = self.markets.instruments.get(f"{fill.venue}:{fill.symbol}")
        if instrument is None:
            raise InvariantError(f"fill {fill.trade_id} of {fill.venue}:{fill.symbol}, which is not configured")
        known = fill.client_order_id in self.orders.orders
        order = self.orders.fill(fill)
        if order is not None:
            self.trades_booked += 1
            self.portfolio.apply_fill(order.strategy, instrument, fill)
            self._mark()
        elif not known and (key := (fill.venue, fill.symbol, fill.trade_id)) not in self._foreign_trades:
            # Ordered by a person, another run, or a stretch of journal a power cut took: booked once, by its name.
            self._foreign_trades.add(key)
            self.trades_booked += 1
            self.portfolio.apply_fill(strategy_of(fill.client_order_id, self.run), instrument, fill)

    def _on_balance(self, event: e.BalanceReported) -> None:
        if self.portfolio.knows(event.asset):
            self.portfolio.open_balance(event.asset, int(event.raw))

    def _on_earlier_trades(self, event: TradesPredateRun) -> None:
        self._foreign_trades.update((event.venue, symbol, trade_id) for symbol, trade_id in event.trades)

    def _on_block(self, event: e.BlockSeen) -> None:
        self.head = event

    def _on_pool(self, event: e.PoolEvent) -> None:
        if pool := self.markets.pools.get(event.pool):
            pool.replica.apply(event)

    def _on_settled(self, event: e.SwapSettled) -> None:
        swap = self.swaps.pop(event.intent_id, None)
        if swap is None:
            return  # Told again after a restart: booked already.
        self.settled[event.intent_id] = event
        if event.status == "mined":
            self.portfolio.move(swap.strategy, swap.token_in, -int(event.amount_in))
            self.portfolio.move(swap.strategy, swap.token_out, int(event.amount_out))
        if self._gas_asset is not None and int(event.gas_cost_wei):
            self.portfolio.move(swap.strategy, self._gas_asset.id, -int(event.gas_cost_wei))
        self._mark()

    def _on_timer(self, event: e.TimerFired) -> None:
        for order in self.orders.overdue(event.time_ns):
            self._commands.append(e.AskOrder(client_order_id=order.client_order_id, instrument=order.instrument))
        for order in self.orders.open_orders():
            if (
                order.cancel_time_ns
                and order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
                and event.time_ns - order.cancel_time_ns >= CANCEL_AGAIN_NS
            ):
                self._command_cancel(order)

    def _on_operator(self, event: e.OperatorSpoke) -> None:
        if event.command == "kill":
            self.halt(f"{KILLED}: {event.reason}" if event.reason else KILLED)
        elif event.command == "stop":
            self.stopping = True
        elif event.command == "resume" and self.halted:
            # The fall that halted the run is accepted; the next is counted from here.
            self.halted = ""
            self.risk.peak = self.result()

    def _on_restart(self, event: e.EngineRestarted) -> None:
        """Another process died holding this state: distrust every market, ask about every open order."""
        self.orders.epoch = event.epoch
        # Stopping was a wish of the process that died, not a fact about the world; a halt is one.
        self.stopping = False
        for book in self.markets.books.values():
            book.invalidate()
        for name, pool in self.markets.pools.items():
            pool.replica.apply(e.PoolInvalidated(time_ns=event.time_ns, pool=name, reason="engine restarted"))
        for order in self.orders.open_orders():
            self._commands.append(e.AskOrder(client_order_id=order.client_order_id, instrument=order.instrument))
        for swap in self.swaps.values():
            self._commands.append(swap)  # Custody knows it by its id and executes it at most once.

    def _mark(self) -> None:
        self.marks = self.markets.marks(self.portfolio.mark_instruments(), self.marks)
        if self.halted or not self.portfolio.is_priced(self.marks):
            return
        if breach := self.risk.drawdown(self.result()):
            self._reject(FOREIGN, breach)
            self.halt(f"{breach.rule}: {breach.detail}")

    # --- actions of strategies

    def place(
        self,
        strategy: str,
        instrument_id: str,
        side: Side,
        ticks: int,
        lots: int,
        *,
        kind: OrderType,
        lasting: TimeInForce,
    ) -> str | None:
        """Put an order through the gate; record it and command it, or command the rejection. Nothing while halted."""
        if self.halted:
            return None
        book = self.markets.books[instrument_id]
        instrument = book.instrument
        symbol = self.portfolio.economic_symbol(instrument.base.id)
        rejection = self.risk.check_order(
            instrument=instrument,
            book=book,
            strategy=strategy,
            side=side,
            price_ticks=ticks,
            qty_lots=lots,
            open_orders=len(self.orders.open_orders()),
            crossed=self._crossed(instrument_id, side, ticks),
            pending=self._pending(symbol, side.sign, strategy),
            pending_total=self._pending(symbol, side.sign),
            portfolio=self.portfolio,
            marks=self.marks,
            now_ns=self.now_ns,
        )
        if rejection is not None:
            self._reject(strategy, rejection)
            return None
        command = e.PlaceOrder(
            client_order_id=self.orders.next_id(strategy),
            strategy=strategy,
            instrument=instrument_id,
            side=side,
            type=kind,
            time_in_force=lasting,
            price_ticks=ticks,
            qty_lots=lots,
            caused_by_ns=self._cause_ns,
        )
        self.orders.add(command, self.now_ns)
        self._commands.append(command)
        return command.client_order_id

    def cancel(self, client_order_id: str) -> None:
        """Command a cancel; cancels always pass the gate but are counted.

        Asked for again while one is under way, it is not sent twice; the kernel itself repeats it until the order ends.
        """
        order = self.orders.orders[client_order_id]
        is_asked = order.cancel_time_ns and self.now_ns - order.cancel_time_ns < CANCEL_AGAIN_NS
        if order.state.is_open and not is_asked:
            self._command_cancel(order)

    def submit_swap(
        self, strategy: str, pool_id: str, token_in: str, amount_in: int, min_out: int, deadline_s: int
    ) -> str | None:
        """Put a swap through the gate; record it and command it, or command the rejection. Nothing while halted."""
        if self.halted:
            return None
        pool = self.markets.pools[pool_id]
        asset_in = pool.token0 if token_in == pool.token0.id else pool.token1
        asset_out = pool.other(token_in)
        symbol, delta = self._swap_change(pool_id, token_in, amount_in, min_out)
        sign = 1 if delta > 0 else -1
        rejection = self.risk.check_swap(
            pool=pool_id,
            assets=(asset_in.id, asset_out.id),
            strategy=strategy,
            symbol=symbol,
            delta=delta,
            pending=self._pending(symbol, sign, strategy),
            pending_total=self._pending(symbol, sign),
            portfolio=self.portfolio,
            marks=self.marks,
        )
        if rejection is not None:
            self._reject(strategy, rejection)
            return None
        self._swap_sequence += 1
        command = e.SubmitSwap(
            intent_id=f"{self.run}-{self.orders.epoch}-{strategy}-s{self._swap_sequence}",
            strategy=strategy,
            pool=pool_id,
            token_in=asset_in.id,
            token_out=asset_out.id,
            amount_in=str(amount_in),
            min_amount_out=str(min_out),
            deadline_s=deadline_s,
        )
        self.swaps[command.intent_id] = command
        self._commands.append(command)
        return command.intent_id

    def _swap_change(self, pool_id: str, token_in: str, amount_in: int, min_out: int) -> tuple[str, float]:
        """Which position a swap changes, and by how many units: the leg that is not the unit of account."""
        pool = self.markets.pools[pool_id]
        asset_in = pool.token0 if token_in == pool.token0.id else pool.token1
        asset_out = pool.other(token_in)
        symbol_in, symbol_out = (self.portfolio.economic_symbol(a.id) for a in (asset_in, asset_out))
        if self.portfolio.mark_instruments()[symbol_in] is not None:
            return symbol_in, -amount_in / asset_in.unit
        return symbol_out, min_out / asset_out.unit

    def _pending(self, symbol: str, sign: int, strategy: str | None = None) -> float:
        """Units of an economic asset that open orders and unsettled swaps may still move in one direction, signed."""
        total = 0.0
        for order in self.orders.open_orders(strategy):
            instrument = self.markets.instruments[order.instrument]
            if order.side.sign == sign and self.portfolio.economic_symbol(instrument.base.id) == symbol:
                total += float(instrument.qty(order.open_lots)) * sign
        for swap in self.swaps.values():
            if strategy in (None, swap.strategy):
                moved, delta = self._swap_change(
                    swap.pool, swap.token_in, int(swap.amount_in), int(swap.min_amount_out)
                )
                if moved == symbol and delta * sign > 0:
                    total += delta
        return total

    def _crossed(self, instrument_id: str, side: Side, ticks: int) -> str:
        """The resting order of ours, of any strategy, that an order would trade with; empty if none."""
        for order in self.orders.open_orders(None, instrument_id):
            is_wanted = order.time_in_force is TimeInForce.GTC and not order.cancel_time_ns
            if order.side is not side and is_wanted and (order.price_ticks - ticks) * side.sign <= 0:
                return order.client_order_id
        return ""

    def _command_cancel(self, order: Order) -> None:
        order.cancel_time_ns = self.now_ns
        self.risk.count_message(str(self.markets.instruments[order.instrument].venue), self.now_ns)
        self._commands.append(e.CancelOrder(client_order_id=order.client_order_id, instrument=order.instrument))

    def _reject(self, strategy: str, rejection: Rejection) -> None:
        self._commands.append(e.RiskRejected(strategy=strategy, rule=rejection.rule, detail=rejection.detail))


class StrategyContext:
    """Binds the kernel to one strategy's name; see `engine.strategy.Context`."""

    def __init__(self, kernel: Kernel, strategy: str) -> None:
        self._kernel = kernel
        self._strategy = strategy

    @property
    def now_ns(self) -> int:
        return self._kernel.now_ns

    @property
    def stopping(self) -> bool:
        return self._kernel.stopping

    @property
    def halted(self) -> bool:
        return bool(self._kernel.halted)

    def book(self, instrument: str) -> Book:
        return self._kernel.markets.books[instrument]

    def pool(self, pool: str) -> PoolMarket:
        return self._kernel.markets.pools[pool]

    def base_fee_wei(self) -> int:
        return self._kernel.head.base_fee_wei if self._kernel.head else 0

    def block_time_s(self) -> int:
        return self._kernel.head.block_time_s if self._kernel.head else 0

    def position(self, symbol: str) -> float:
        return self._kernel.portfolio.position(symbol, self._strategy)

    def balance(self, asset: Asset) -> int:
        return self._kernel.portfolio.balances.get(asset.id, 0)

    def mark(self, symbol: str) -> float:
        return self._kernel.marks.get(symbol, 0.0)

    def symbol_of(self, asset: Asset) -> str:
        return self._kernel.portfolio.economic_symbol(asset.id)

    def order(self, client_order_id: str) -> Order | None:
        return self._kernel.orders.orders.get(client_order_id)

    def open_orders(self, instrument: str) -> list[Order]:
        return self._kernel.orders.open_orders(self._strategy, instrument)

    def quote(self, instrument: str, side: Side, price_ticks: int, qty_lots: int) -> str | None:
        return self.place(instrument, side, price_ticks, qty_lots, OrderType.LIMIT_MAKER, TimeInForce.GTC)

    def take(self, instrument: str, side: Side, limit_ticks: int, qty_lots: int) -> str | None:
        return self.place(instrument, side, limit_ticks, qty_lots, OrderType.LIMIT, TimeInForce.IOC)

    def place(
        self, instrument: str, side: Side, ticks: int, lots: int, kind: OrderType, lasting: TimeInForce
    ) -> str | None:
        return self._kernel.place(self._strategy, instrument, side, ticks, lots, kind=kind, lasting=lasting)

    def cancel(self, client_order_id: str) -> None:
        self._kernel.cancel(client_order_id)

    def swap(self, pool: str, token_in: str, amount_in: int, min_amount_out: int, deadline_s: int) -> str | None:
        return self._kernel.submit_swap(self._strategy, pool, token_in, amount_in, min_amount_out, deadline_s)


def strategy_of(client_order_id: str, run: str) -> str:
    """Whose order an id names: a strategy of this run, else `unattributed`."""
    parts = client_order_id.split("-")
    return parts[2] if len(parts) == 4 and parts[0] == run else FOREIGN
