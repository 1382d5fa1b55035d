"""The live shell: lost answers, crashes at any event, failures of any kind, and ends that come."""

from __future__ import annotations

import asyncio
import copy
import hashlib

import pytest

from domain import InvariantError, OrderState, OrderType, Side, TimeInForce, VenueUnavailable
from domain import events as e
from engine.edge import client_number
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.runner import LiveRunner
from engine.sdk import Strategy
from engine.wiring import Wiring
from tests.engine.markets import ETH, ETHUSDC, USDC, native_kernel, order_id
from tests.engine.places import MemoryBooks, MemoryExchange

HEADER = {"version": 1}
BIDS, ASKS = ((299_990, 10_000), (299_980, 20_000)), ((300_010, 10_000), (300_020, 20_000))
LIMITS = {
    "book_age_ms_max": 10**9,
    "messages_per_second_max": 10_000,
    "order_notional_max": 10**6,
    "position_notional_max": 10**6,
    "exposure_notional_max": 10**6,
    "drawdown_max": 10**6,
}


class Actions(Strategy):
    """A strategy that does the next thing of a list at each book, and withdraws when told to stop."""

    def __init__(self, *actions):
        super().__init__("s")
        self.todo = list(actions)

    def on_book(self, ctx, book):
        if book.is_valid and self.todo and not ctx.stopping:
            self.todo.pop(0)(ctx)

    def on_stop(self, ctx):
        ctx.cancel_all(0)

    def on_order(self, ctx, event):
        if ctx.stopping:
            ctx.cancel_all(0)


class HurriedClock:
    """Each look at it costs 100 ms, so that what is due after seconds is due after some events."""

    ns = 10**18
    """Of all clocks: time goes on from one process to the next."""

    def now_ns(self):
        HurriedClock.ns += 100_000_000
        return self.ns

    def monotonic_ns(self):
        return self.ns


def buy(lots=100, ticks=300_010):
    return lambda c: c.take(0, 0, ticks, lots)


def sell(lots=100, ticks=299_990):
    return lambda c: c.take(0, 1, ticks, lots)


def rest(lots=100, ticks=299_990, side=Side.BUY):
    def act(ctx):
        """Rest one more beside what rests already."""
        sides = ([], [])
        for order in ctx.open_orders(0):
            if not order.is_cancelling:
                sides[order.side].append((order.price, order.size - order.filled))
        sides[0 if side is Side.BUY else 1].append((ticks, lots))
        ctx.quote(0, *sides)

    return act


def withdraw(context):
    context.cancel_all(0)


class Session:
    """One process's life on a journal: started, shown books, stopped."""

    def __init__(self, path, exchange, books, *actions, **wiring):
        self.exchange, self.books = exchange, books
        self.kernel = native_kernel(Actions(*actions), **LIMITS)
        self.journal = Journal.open(path, HEADER)
        self.stop = asyncio.Event()
        self.stepped = asyncio.Event()
        self.runner = LiveRunner(
            self.kernel,
            self.journal,
            Wiring(
                venues={"sandbox": exchange}, desk=None, bookkeeper=books, clock=HurriedClock(), timer_ms=10,
                on_step=lambda _event, _commands: self.stepped.set(), **wiring,
            ),
        )  # fmt: skip

    async def __aenter__(self):
        await self.exchange.start(self.runner.emit)
        ready = asyncio.Event()
        self.task = asyncio.create_task(self.runner.run(self.stop, started=ready.set))
        waits = [self.task, asyncio.ensure_future(ready.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return self

    async def __aexit__(self, *_):
        self.stop.set()
        try:
            async with asyncio.timeout(60):
                await self.task
        finally:
            self.journal.close()
            await self.exchange.stop()

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                if self.task.done():
                    await self.task
                self.stepped.clear()
                await self.stepped.wait()

    async def show(self, times=1):
        """Show the book and wait until the kernel has seen it and what it led to is answered."""
        for _ in range(times):
            seen = self.kernel.markets.books[ETHUSDC.id].changed_ns
            self.exchange.show(BIDS, ASKS)
            await self.until(lambda seen=seen: self.kernel.markets.books[ETHUSDC.id].changed_ns > seen)

    async def settle(self):
        await self.until(lambda: not self.kernel.orders.open_orders())


def state_of(k: NativeKernel) -> str:
    """A digest of everything a restart must rebuild."""
    seen = [sorted(k.portfolio.balances.items()), [repr(o).split("trade_ids")[0] for o in k.orders.orders.values()]]
    seen += [sorted(o.trade_ids) for o in k.orders.orders.values()]
    seen += [k.digest, k.native.orders(), k.native.balance(0), k.native.balance(1), k.native.reconciliation]
    seen += [k.halted, k.stopping, k.orders.epoch, sorted(k.marks.items()), sorted(k.swaps), sorted(k.settled)]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def replayed(path, *actions) -> NativeKernel:
    """A fresh kernel that was told the journal."""
    k = native_kernel(Actions(*actions), **LIMITS)
    for event in read_journal(path)[1]:
        k.step(event)
    return k


def assert_agrees(session):
    """Kernel, ledger and exchange hold the same to the last unit; nothing was sent twice."""
    assert {a: r for a, r in session.kernel.portfolio.balances.items() if r} == session.exchange.holdings
    assert session.books.balances == session.exchange.holdings
    assert len(session.exchange.arrived) == len(set(session.exchange.arrived))
    assert not [held for held in session.exchange.orders.values() if held.state.is_open]


# --- answers that get lost


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("", OrderState.FILLED),
        ("lost", OrderState.FILLED),
        ("never", OrderState.REJECTED),
        ("unavailable", OrderState.REJECTED),
        ("reject", OrderState.REJECTED),
    ],
)
async def test_order_ends_in_the_venues_truth_however_the_answer_is_lost(tmp_path, fault, state):
    exchange = MemoryExchange()
    exchange.faults.append(fault)
    async with Session(tmp_path / "j", exchange, MemoryBooks(), buy()) as session:
        await session.show()
        await session.settle()
    (order,) = session.kernel.orders.orders.values()
    assert order.state is state
    assert_agrees(session)
    assert state_of(replayed(tmp_path / "j", buy())) == state_of(session.kernel)


async def test_cancel_that_is_not_heard_is_sent_again(tmp_path):
    exchange = MemoryExchange(cancel_faults=2)
    async with Session(tmp_path / "j", exchange, MemoryBooks(), rest(), withdraw) as session:
        await session.show(2)
        await session.settle()
    assert exchange.cancel_faults == 0
    assert_agrees(session)


# --- failures end the run with nothing resting


async def test_unexpected_exception_of_a_venue_cancels_everything_and_is_an_invariant_error(tmp_path):
    exchange = MemoryExchange()
    exchange.faults.extend(["", "bug"])
    with pytest.raises(InvariantError, match="RuntimeError"):  # noqa: PT012 - it comes when the run ends
        async with Session(tmp_path / "j", exchange, MemoryBooks(), rest(), buy()) as session:
            await session.show(2)
            await session.task
    assert exchange.orders
    assert not [held for held in exchange.orders.values() if held.state.is_open]


async def test_overflowing_queue_stops_the_run_and_not_the_venue(tmp_path):
    exchange = MemoryExchange()
    with pytest.raises(InvariantError, match="cannot keep up"):  # noqa: PT012 - it comes when the run ends
        async with Session(tmp_path / "j", exchange, MemoryBooks(), rest(), queue_max=100) as session:
            await session.show()
            for number in range(200):
                session.runner.emit(e.BookInvalidated(time_ns=0, instrument=ETHUSDC.id, reason=str(number)))
            await session.task
    assert not [held for held in exchange.orders.values() if held.state.is_open]


async def test_books_are_conflated_to_the_newest_and_nothing_else_is(tmp_path):
    exchange = MemoryExchange()
    async with Session(tmp_path / "j", exchange, MemoryBooks(), queue_max=100) as session:
        for number in range(1_000):
            exchange.show(((200_000 + number, 1),), ((300_000, 1),))
        await session.until(lambda: session.kernel.markets.books[ETHUSDC.id].bids == ((200_999, 1),))
    events = list(read_journal(tmp_path / "j")[1])
    assert sum(isinstance(event, e.BookChanged) for event in events) < 5


# --- stopping and killing


async def test_stop_withdraws_what_rests(tmp_path):
    exchange = MemoryExchange()
    async with Session(tmp_path / "j", exchange, MemoryBooks(), rest(), rest(50)) as session:
        await session.show(2)
        exchange.hit(order_id(0, 1), 30)
    assert {held.filled for held in exchange.orders.values()} == {30, 0}
    assert_agrees(session)


async def test_kill_is_confirmed_when_nothing_is_open(tmp_path):
    exchange = MemoryExchange()
    async with Session(tmp_path / "j", exchange, MemoryBooks(), rest(), rest(), buy()) as session:
        await session.show(2)
        session.runner.emit(e.OperatorSpoke(time_ns=0, command="kill", reason="drill"))
        await session.runner.until_halted(5)
        assert not [held for held in exchange.orders.values() if held.state.is_open]
        await session.show()
    assert session.kernel.halted == "killed: drill"
    assert len(exchange.arrived) == 2
    assert_agrees(session)


async def test_a_freeze_is_carried_out_when_reached_and_again_by_a_process_that_starts_in_it(tmp_path):
    exchange, books, told = MemoryExchange(), MemoryBooks(), []

    async def freeze(rule):
        told.append(rule)

    async with Session(tmp_path / "j", exchange, books, freeze=freeze) as session:
        await session.show()
        session.runner.emit(e.OperatorSpoke(time_ns=0, command="stage", stage=4))
        await session.until(lambda: told)
    async with Session(tmp_path / "j", exchange, books, freeze=freeze) as session:
        await session.until(lambda: len(told) == 2)
        session.runner.emit(e.OperatorSpoke(time_ns=0, command="resume"))
        await session.until(lambda: session.kernel.stage == "running")
    async with Session(tmp_path / "j", exchange, books, freeze=freeze) as session:
        await session.show()
    assert told == ["operator", "a start in this stage"]


async def test_run_ends_although_a_venue_never_answers_the_kill(tmp_path):
    exchange = MemoryExchange()
    async with Session(tmp_path / "j", exchange, MemoryBooks(), wind_down_s=0.05) as session:
        await session.show()
        exchange.is_reachable = False
        session.runner.emit(e.OperatorSpoke(time_ns=0, command="kill"))
        await session.until(lambda: session.kernel.halted)
    assert session.task.done()


# --- crashes


def opened(count):
    """How many events the opening of a run is: before they are complete nobody trades."""
    return next(i for i, event in enumerate(count) if isinstance(event, e.EngineRestarted)) + 1


async def test_opening_cut_at_any_event_is_taken_again(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    async with Session(tmp_path / "j", exchange, books, rest(), buy()) as session:
        await session.show(2)
    events = list(read_journal(tmp_path / "j")[1])
    count = opened(events)
    kinds = [type(event).__name__ for event in events[:count]]
    assert kinds == ["AccountAnswered", "BalanceReported", "BalanceReported", "AccountAnswered", "EngineRestarted"]
    for cut in range(count):
        before = MemoryExchange()
        write(tmp_path / f"cut{cut}", events[:cut])
        async with Session(tmp_path / f"cut{cut}", before, MemoryBooks(), buy()) as again:
            await again.show()
            await again.settle()
        assert again.kernel.orders.epoch == 0
        assert len(before.trades) == 1
        assert_agrees(again)


async def test_crash_at_any_event_converges_to_the_venues_truth(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    exchange.faults.extend(["", "lost", "never", "", "", "reject"])
    script = (buy(100), buy(200), sell(50), rest(300), rest(80, 300_020, Side.SELL), sell(20), withdraw, buy(10))
    async with Session(tmp_path / "j", exchange, books, *script) as session:
        for step in range(len(script)):
            await session.show()
            exchange.taken_lots = None if step % 2 else 30
            if step == 4 and order_id(0, 4) in exchange.orders:
                exchange.hit(order_id(0, 4), 120)
        await session.settle()
    assert_agrees(session)
    assert len(exchange.trades) >= 3
    events = list(read_journal(tmp_path / "j")[1])
    assert state_of(replayed(tmp_path / "j", *script)) == state_of(session.kernel)

    for cut in range(opened(events), len(events) + 1):
        path = tmp_path / f"cut{cut}"
        write(path, events[:cut])
        truth, ledger = copy.deepcopy(exchange), copy.deepcopy(books)
        # The venue may also still hold what the process that died had placed.
        resting = next((held for held in truth.orders.values() if held.filled == 0), None)
        if resting is not None and cut % 2:
            resting.state = OrderState.ACCEPTED
        async with Session(path, truth, ledger, *script) as again:
            await again.show()
        assert_agrees(again)
        assert again.kernel.orders.epoch == 1
        assert state_of(replayed(path, *script)) == state_of(again.kernel)


async def test_order_that_expired_while_nobody_ran_is_known_as_expired(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    async with Session(tmp_path / "j", exchange, books, rest()) as session:
        await session.show()
        await session.until(lambda: session.kernel.orders.orders[order_id(0, 1)].state is OrderState.ACCEPTED)
        held = list(read_journal(tmp_path / "j")[1])
    write(tmp_path / "cut", held)
    exchange.orders[order_id(0, 1)].state = OrderState.EXPIRED
    async with Session(tmp_path / "cut", exchange, books, rest()) as again:
        await again.show()
        assert again.kernel.orders.orders[order_id(0, 1)].state is OrderState.EXPIRED
        assert again.kernel.native.order(client_number(order_id(0, 1)))["state"] == "expired"
    assert state_of(replayed(tmp_path / "cut", rest())) == state_of(again.kernel)


async def test_venue_that_stumbles_at_the_start_is_asked_again(tmp_path):
    class Stumbling(MemoryExchange):
        stumbles = 1

        async def balances(self):
            self.stumbles -= 1
            if self.stumbles >= 0:
                raise VenueUnavailable("503")
            return await super().balances()

    exchange = Stumbling()
    async with Session(tmp_path / "j", exchange, MemoryBooks(), buy()) as session:
        await session.show()
        await session.settle()
    assert exchange.stumbles < 0
    assert len(exchange.trades) == 1


def write(path, events):
    journal = Journal.open(path, HEADER)
    for event in events:
        journal.append(event)
    journal.close()


async def test_restarted_engine_gives_no_id_before_it_is_announced(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    async with Session(tmp_path / "j", exchange, books, buy()) as session:
        await session.show()
        await session.settle()
    # The next process hears books before it has caught up: they must not make it act as the process that died.
    second = Session(tmp_path / "j", exchange, books, buy(), buy())
    await exchange.start(second.runner.emit)
    exchange.show(BIDS, ASKS)
    async with second:
        await second.until(lambda: len(second.kernel.orders.orders) == 2)
        await second.settle()
    assert exchange.arrived == [order_id(0, 1), order_id(1, 2)]
    assert_agrees(second)


async def test_trade_made_by_hand_while_nobody_ran_is_booked_once(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    async with Session(tmp_path / "j", exchange, books) as session:
        await session.show()
    await exchange.place(
        e.PlaceOrder(
            client_order_id="by-hand", strategy="", instrument=ETHUSDC.id, side=Side.SELL, type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC, price_ticks=299_990, qty_lots=70,
        )
    )  # fmt: skip
    for _ in range(2):
        async with Session(tmp_path / "j", exchange, books) as session:
            await session.show()
        assert_agrees(session)
    assert session.kernel.portfolio.strategies() == ("unattributed",)


async def test_trades_from_before_the_run_reach_neither_kernel_nor_ledger(tmp_path):
    exchange, books = MemoryExchange(), MemoryBooks()
    order = e.PlaceOrder(
        client_order_id="earlier", strategy="", instrument=ETHUSDC.id, side=Side.BUY, type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC, price_ticks=300_010, qty_lots=70,
    )  # fmt: skip
    await exchange.place(order)
    async with Session(tmp_path / "j", exchange, books) as session:
        exchange.emit(e.FillReported(time_ns=0, fill=exchange.trades[0]))
        await session.show()
    assert books.posted == {}
    assert_agrees(session)
    assert session.kernel.portfolio.balances == {ETH.id: exchange.holdings[ETH.id], USDC.id: exchange.holdings[USDC.id]}
