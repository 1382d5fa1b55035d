"""A run as people and papers see it: orders by name, holdings, results, halted or not. Follows; decides nothing.

The native kernel counts for itself, in integers, and never asks this. It is rebuilt from the journal like the kernel,
by the events that went in and the commands that came out; values are floats, for status and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from domain import Asset, Fill, InvariantError
from domain import events as e
from engine.accounts import InstrumentAccounts
from engine.edge import UNATTRIBUTED, ClientId, Numbers, run_number
from engine.market import Markets
from engine.oms import OrderManager
from engine.portfolio import Portfolio
from engine.sdk.signals import Signal


def _ignore(_signal: Signal) -> None:
    pass


STOPPED = frozenset({"cancel", "flatten", "freeze"})
"""Stages at which nothing new goes out."""


class RunView:
    """See the module. `see` takes an event before the kernel does, `note` its commands."""

    def __init__(
        self, *, run: str, markets: Markets, portfolio: Portfolio, gas_asset: Asset | None, numbers: Numbers
    ) -> None:
        self.run = run
        self.numbers = numbers
        self.markets = markets
        self.portfolio = portfolio
        self.orders = OrderManager()
        self.accounts = InstrumentAccounts()
        self.swaps: dict[str, e.SubmitSwap] = {}
        self.settled: dict[str, e.SwapSettled] = {}
        self.trades_booked = 0
        self.stage = "running"
        self.stages: dict[str, str] = {}
        """How far a strategy is stopped by itself, besides the run."""
        self.stage_rules: dict[str, str] = {}
        """What stopped it: a limit of its own, or `operator`."""
        self._is_run_alone = False
        self.halted = ""
        self.now_ns = 0
        self.on_signal: Callable[[Signal], None] = _ignore
        """Given what strategies signal. Whoever runs the kernel sets it once the journal is replayed."""
        self.head: e.BlockSeen | None = None
        self.marks: dict[str, float] = dict.fromkeys(portfolio.mark_instruments(), 0.0)
        self._gas_asset = gas_asset
        self._trades: set[tuple[str, str, str]] = set()
        self._answering: str | None = None
        self._opened: set[str] = set()
        self._spoken = ""
        self._handlers: dict[type, Callable[[Any], None]] = {
            e.BookChanged: self._on_book,
            e.BookInvalidated: self._on_book_invalid,
            e.OrderReported: self._on_order,
            e.FillReported: self._on_fill,
            e.AccountAnswered: self._on_answer,
            e.BalanceReported: self._on_balance,
            e.BlockSeen: self._on_block,
            e.PoolSnapshotted: self._on_pool,
            e.PoolSynced: self._on_pool,
            e.PoolSwapped: self._on_pool,
            e.PoolLiquidityChanged: self._on_pool,
            e.PoolInvalidated: self._on_pool,
            e.SwapSettled: self._on_settled,
            e.OperatorSpoke: self._on_operator,
            e.EngineRestarted: self._on_restart,
        }

    def see(self, event: e.Event) -> None:
        """Take an event."""
        self.now_ns = event.time_ns
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def note(self, commands: Iterable[e.Command]) -> None:
        """Take what the kernel answered to the event just seen."""
        for command in commands:
            match command:
                case e.PlaceOrder():
                    self.orders.add(command, self.now_ns)
                case e.CancelOrder() if command.client_order_id in self.orders.orders:
                    self.orders.orders[command.client_order_id].cancel_time_ns = self.now_ns
                case e.SubmitSwap():
                    self.swaps[command.intent_id] = command
                case e.StageReached():
                    self._on_stage(command)

    def knows_trade(self, fill: Fill) -> bool:
        """Whether a trade is booked already (or predates the run)."""
        return (fill.venue, fill.symbol, fill.trade_id) in self._trades

    def strategy_of(self, client_order_id: str) -> str:
        """Whose order an id names: a strategy of this run, else `unattributed`."""
        order = self.orders.orders.get(client_order_id)
        if order is not None:
            return order.strategy
        found = ClientId.parse(client_order_id)  # From a stretch of journal that a power cut took: ours by its name.
        if found is None or found.run != run_number(self.run):
            return UNATTRIBUTED
        return self.numbers.strategy(found.strategy) or UNATTRIBUTED

    def result(self, strategy: str | None = None) -> float:
        """Profit and loss since the start, marked, in the unit of account."""
        return self.portfolio.result(self.marks, strategy)

    # --- events

    def _on_book(self, event: e.BookChanged) -> None:
        book = self.markets.books.get(event.instrument)
        if book is not None:
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
        if self.knows_trade(fill):
            return
        self._trades.add((fill.venue, fill.symbol, fill.trade_id))
        if event.asked and self._answering == fill.venue and fill.venue not in self._opened:
            return  # The opening balances contain it.
        self.trades_booked += 1
        self.orders.fill(fill)
        self.accounts.take(self.strategy_of(fill.client_order_id), instrument, fill)
        self.portfolio.apply_fill(self.strategy_of(fill.client_order_id), instrument, fill)
        self._mark()

    def _on_answer(self, event: e.AccountAnswered) -> None:
        if event.is_end:
            self._opened.add(event.venue)
        self._answering = None if event.is_end else event.venue

    def _on_balance(self, event: e.BalanceReported) -> None:
        if self.portfolio.knows(event.asset):
            self.portfolio.open_balance(event.asset, int(event.raw))

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

    def _on_operator(self, event: e.OperatorSpoke) -> None:
        self._is_run_alone = event.command == "resume_run"
        if event.strategy:
            return
        self._spoken = f"killed: {event.reason}" if event.reason else "killed"

    def _on_restart(self, event: e.EngineRestarted) -> None:
        self.orders.epoch = event.epoch
        self._answering = None
        for book in self.markets.books.values():
            book.invalidate()
        for name, pool in self.markets.pools.items():
            pool.replica.apply(e.PoolInvalidated(time_ns=event.time_ns, pool=name, reason="engine restarted"))

    def _on_stage(self, command: e.StageReached) -> None:
        if command.strategy:
            self.stages[command.strategy] = command.stage
            self.stage_rules[command.strategy] = command.rule
            return  # The run goes on without it.
        if command.stage == "running" and not self._is_run_alone:
            self.stages.clear()
            self.stage_rules.clear()
        self.stage = command.stage
        why = self._spoken if command.rule in ("", "operator") else command.rule
        self.halted = (self.halted or why) if command.stage in STOPPED else ""
        if self.halted:
            for order in self.orders.open_orders():
                order.cancel_time_ns = order.cancel_time_ns or self.now_ns

    def _mark(self) -> None:
        self.marks = self.markets.marks(self.portfolio.mark_instruments(), self.marks)
