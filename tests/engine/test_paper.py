"""Paper trading: nothing reaches the venue, and a restart forgets no simulated trade and counts none twice."""

from __future__ import annotations

import asyncio

from domain import OrderState, OrderType, Side, TimeInForce
from domain import events as e
from engine.journal import Journal
from engine.paper import PaperTrading, PaperVenue
from engine.runner import LiveRunner
from engine.simulation import Simulator
from engine.wiring import Wiring
from tests.engine.markets import ETH, ETHUSDC, USDC, native_kernel
from tests.engine.places import MemoryBooks, MemoryExchange
from tests.engine.test_runner import ASKS, BIDS, LIMITS, Actions, HurriedClock, Session, buy, rest

START = {ETH.id: 10 * ETH.unit, USDC.id: 50_000 * USDC.unit}


class PaperSession(Session):
    """As `Session`, with the orders simulated."""

    def __init__(self, path, market, books, *actions):
        self.market, self.books = market, books
        self.kernel = native_kernel(Actions(*actions), **LIMITS)
        self.journal = Journal.open(path, {"version": 1})
        self.stop, self.stepped = asyncio.Event(), asyncio.Event()
        paper = PaperTrading(HurriedClock(), START)
        self.exchange = PaperVenue(market, paper)

        def on_step(event, commands):
            paper.on_step(event, commands)
            self.stepped.set()

        wiring = Wiring(
            venues={"sandbox": self.exchange}, desk=None, bookkeeper=books, clock=HurriedClock(), timer_ms=10,
            on_step=on_step,
        )  # fmt: skip
        self.runner = LiveRunner(self.kernel, self.journal, wiring)
        paper.connect(Simulator(self.kernel.markets), self.runner.emit, self.kernel.portfolio.balances)

    async def show(self, times=1):
        for _ in range(times):
            seen = self.kernel.markets.books[ETHUSDC.id].changed_ns
            self.market.show(BIDS, ASKS)
            await self.until(lambda seen=seen: self.kernel.markets.books[ETHUSDC.id].changed_ns > seen)


async def test_restarted_paper_run_keeps_its_trades_and_cancels_what_rested(tmp_path):
    market, books = MemoryExchange(), MemoryBooks()
    async with PaperSession(tmp_path / "j", market, books, buy(100), rest(50)) as first:
        await first.show(2)
        await first.until(lambda: any(o.state is OrderState.ACCEPTED for o in first.kernel.orders.open_orders()))
        first.task.cancel()  # As `kill -9`: nothing is wound down.
        await asyncio.wait([first.task])
        first.task = asyncio.create_task(asyncio.sleep(0))
    async with PaperSession(tmp_path / "j", market, books, buy(100), rest(50), buy(70), buy(30)) as second:
        await second.show(2)
        await second.settle()
        balances = dict(await second.exchange.balances())
    states = [(o.qty_lots, o.state) for o in second.kernel.orders.orders.values()]
    assert states == [
        (100, OrderState.FILLED),
        (50, OrderState.CANCELED),
        (70, OrderState.FILLED),
        (30, OrderState.FILLED),
    ]
    assert len(books.posted) == 3
    assert books.balances == second.kernel.portfolio.balances == balances
    assert balances[ETH.id] == START[ETH.id] + 200 * ETH.unit // 10_000 - sum_of_fees(books)
    assert market.arrived == []


def sum_of_fees(books):
    return sum(-(-lots * 10_000 * 4 // 10_000) for lots in (100, 70, 30))


async def test_paper_account_holds_its_start_before_the_run():
    paper = PaperTrading(HurriedClock(), {**START, "eip155:1/slip44:60": 5})
    venue = PaperVenue(MemoryExchange(), paper)
    assert dict(await venue.balances()) == START
    assert await venue.cancel_all() == 0
    order = e.PlaceOrder(
        client_order_id="x", strategy="s", instrument=ETHUSDC.id, side=Side.BUY, type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC, price_ticks=1, qty_lots=1,
    )  # fmt: skip
    await venue.place(order)
    assert await venue.open_orders() == ()
