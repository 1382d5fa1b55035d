"""Random commands and random faults, in any order; then quiet, and everything that was told is the exchange's truth.

CAPSTAN_MACHINE_EXAMPLES=500 looks further, with other draws each time.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import Fill, OrderState, OrderType, Side, TimeInForce, VenueError, VenueUnavailable
from domain.events import PlaceOrder
from tests.cex.lab import SandboxLab, sandbox
from tests.support.exchange_conformance import ASK, an_order, ask_of, cancel_of, moved
from tests.support.recorder import Recorder

T = TypeVar("T")
FAULTS = (
    "drop_order",
    "delay_order",
    "error_before_accept",
    "drop_ack",
    "delay_ack",
    "error_after_accept",
    "reject_after_ack",
    "drop_cancel_ack",
    "fail_query",
    "gap",
    "duplicate_report",
    "out_of_order",
    "lose_report",
    "delay_report",
    "out_of_order_depth",
    "partial_snapshot",
)
SOCKETS = ("kill_sockets", "abort_sockets", "terminate_streams", "stall_sockets")
KINDS = (
    (OrderType.LIMIT, TimeInForce.GTC),
    (OrderType.LIMIT, TimeInForce.IOC),
    (OrderType.LIMIT, TimeInForce.FOK),
    (OrderType.LIMIT_MAKER, TimeInForce.GTC),
    (OrderType.MARKET, TimeInForce.GTC),
)
ENDS = {
    "FILLED": {OrderState.FILLED},
    "CANCELED": {OrderState.CANCELED},
    "EXPIRED": {OrderState.EXPIRED},
    "EXPIRED_IN_MATCH": {OrderState.EXPIRED},
    "REJECTED": {OrderState.REJECTED},
}
SIDES, OFFSETS, SIZES = st.sampled_from(Side), st.integers(-15, 15), st.integers(20, 300)
ORDERS = st.lists(st.tuples(SIDES, OFFSETS, SIZES, st.sampled_from(KINDS)), min_size=2, max_size=6)
COUNTERS = st.lists(st.tuples(SIDES, OFFSETS, SIZES, st.sampled_from(["GTC", "IOC"])), min_size=1, max_size=5)
DEPTH = 6
"""Levels a side that the other account rests at the beginning."""
EXAMPLES = os.environ.get("CAPSTAN_MACHINE_EXAMPLES")


class FaultMachine(RuleBasedStateMachine):
    """One account under test, one that trades against it, one exchange that misbehaves."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.placed: list[PlaceOrder] = []
        self.before = (0, 0)
        self.fills: dict[str, Fill] = {}
        """Told by processes that have ended, and found by those that took over."""
        self.ends: dict[str, OrderState] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        async def begin() -> SandboxLab:
            url = await self.stack.enter_async_context(sandbox())
            session = await self.stack.enter_async_context(aiohttp.ClientSession())
            lab = SandboxLab(url, session)
            await self._open(lab)
            self.before = await lab.free_base_and_quote()
            for level in range(1, DEPTH + 1):
                await lab.counter(Side.BUY, ASK - 2 * level, 200)
                await lab.counter(Side.SELL, ASK + 2 * level, 200)
            return lab

        self.lab = self.run(begin())

    # --- commands

    @rule(wanted=ORDERS)
    def place(self, wanted: list[tuple[Side, int, int, tuple[OrderType, TimeInForce]]]) -> None:
        """Place some orders at once."""
        orders = [
            an_order(self.lab, side, ASK + offset, lots, type=type_, tif=tif)
            for side, offset, lots, (type_, tif) in wanted
        ]
        self.placed += orders

        async def place() -> None:
            await asyncio.gather(*(self._place(order) for order in orders))

        self.run(place())

    @precondition(lambda self: self.placed)
    @rule(side=SIDES, offset=OFFSETS, lots=SIZES, data=st.data())
    def replace(self, side: Side, offset: int, lots: int, data: st.DataObject) -> None:
        old, new = data.draw(st.sampled_from(self.placed)), an_order(self.lab, side, ASK + offset, lots)
        self.placed.append(new)
        with suppress(VenueError):
            self.run(self.lab.venue.replace(cancel_of(old), new))

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        with suppress(VenueError):
            self.run(self.lab.venue.cancel(cancel_of(data.draw(st.sampled_from(self.placed)))))

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        with suppress(VenueError):
            self.run(self.lab.venue.ask(ask_of(data.draw(st.sampled_from(self.placed)))))

    @rule()
    def cancel_all(self) -> None:
        with suppress(VenueError):
            self.run(self.lab.venue.cancel_all())

    @rule(wanted=COUNTERS)
    def counter(self, wanted: list[tuple[Side, int, int, str]]) -> None:
        """Let the other account trade."""
        for side, offset, lots, tif in wanted:
            # The faults strike whoever comes first.
            with suppress(aiohttp.ClientError, AssertionError):
                self.run(self.lab.counter(side, ASK + offset, lots, tif))

    # --- what goes wrong

    @rule(fault=st.sampled_from(FAULTS), count=st.integers(1, 3), delay_ms=st.sampled_from([5, 150]))
    def strike(self, fault: str, count: int, delay_ms: int) -> None:
        self.run(self.lab.strike(fault, count, delay_ms))

    @rule(kind=st.sampled_from(SOCKETS))
    def break_sockets(self, kind: str) -> None:
        self.run(self.lab.fault(fault=kind))

    @rule(skew_ms=st.sampled_from([-3_000, -900, 0, 900, 3_000]))
    def skew(self, skew_ms: int) -> None:
        self.run(self.lab.fault(fault="clock_skew", skew_ms=skew_ms))
        self.lab.ours.ahead_ms = self.lab.theirs.ahead_ms = skew_ms

    @rule(side=SIDES, offset=OFFSETS)
    def restart(self, side: Side, offset: int) -> None:
        """Our process ends without a word, somebody trades, and another one takes over as the engine does."""

        async def restart() -> None:
            await self.lab.venue.stop()
            self._close_the_books()
            with suppress(aiohttp.ClientError, AssertionError):
                await self.lab.counter(side, ASK + offset, 200, "IOC")
            await self._open(self.lab)
            self.fills |= {fill.trade_id: fill for fill in await self._until_answered(self.lab.venue.fills)}

        self.run(restart())

    # --- what holds

    @invariant()
    def no_trade_is_told_twice(self) -> None:
        if hasattr(self, "lab"):
            told = Counter(fill.trade_id for fill in self.lab.recorder.fills())
            assert not [trade for trade, times in told.items() if times > 1]

    @invariant()
    def ends_are_final(self) -> None:
        if hasattr(self, "lab"):
            for order in self.placed:
                states = self.lab.recorder.states(order.client_order_id)
                ends = [state for state in states if not state.is_open]
                assert len(set(ends)) <= 1
                assert not ends or states[states.index(ends[0]) :] == [ends[0]] * len(ends)

    def teardown(self) -> None:
        try:
            if hasattr(self, "lab"):
                self.run(self._compare())
        finally:
            self.run(self._end())
            self.runner.close()

    # --- parts

    async def _place(self, order: PlaceOrder) -> None:
        for _ in range(500):
            try:
                await self.lab.venue.place(order)
            except VenueUnavailable:
                # Not compared with REST yet: nothing was sent.
                await self.lab.round_trip()
            except VenueError:
                return
            else:
                return

    async def _open(self, lab: SandboxLab) -> None:
        lab.recorder = Recorder()
        for _ in range(20):
            try:
                await lab.open(recv_window_ms=300, request_timeout_ms=1_000, stale_after_ms=500, poll_ms=200)
            except VenueUnavailable:
                continue
            return
        raise AssertionError("the venue never started")

    def _close_the_books(self) -> None:
        recorder = self.lab.recorder
        self.no_trade_is_told_twice()
        self.fills |= {fill.trade_id: fill for fill in recorder.fills()}
        for order in self.placed:
            states = recorder.states(order.client_order_id)
            if states and not states[-1].is_open:
                assert self.ends.setdefault(order.client_order_id, states[-1]) is states[-1]

    async def _compare(self) -> None:
        lab = self.lab
        await lab.fault(fault="none")
        lab.ours.ahead_ms = lab.theirs.ahead_ms = 0
        # A new stream: everything is compared with REST once more before this order may go out.
        await lab.fault(fault="kill_sockets")
        probe = an_order(lab, Side.BUY, ASK - 1_000)
        self.placed.append(probe)
        await self._place(probe)
        await self._until_answered(lab.venue.cancel_all)
        for order in self.placed:
            if order.client_order_id not in self.ends and not self._has_ended(order):
                await self._until_answered(lambda order=order: lab.venue.ask(ask_of(order)))  # type: ignore[misc]
        await lab.recorder.until(lambda: all(self._has_ended(order) for order in self.placed))
        rows = await lab.ours.call("GET", "allOrders", symbol="ETHUSDC", limit=1000)
        theirs = {row["clientOrderId"]: row for row in rows}
        assert set(theirs) <= {order.client_order_id for order in self.placed}
        trades = {str(row["id"]) for row in await lab.ours.call("GET", "myTrades", symbol="ETHUSDC", limit=1000)}
        await lab.recorder.until(lambda: {*self.fills, *(fill.trade_id for fill in lab.recorder.fills())} == trades)
        self._close_the_books()
        for order in self.placed:
            row, end = theirs.get(order.client_order_id), self.ends[order.client_order_id]
            assert end in (ENDS[row["status"]] if row else {OrderState.REJECTED}), (order, row, end)
        base, quote = moved(lab, list(self.fills.values()))
        assert await lab.free_base_and_quote() == (self.before[0] + base, self.before[1] + quote)

    def _has_ended(self, order: PlaceOrder) -> bool:
        states = self.lab.recorder.states(order.client_order_id)
        return order.client_order_id in self.ends or (bool(states) and not states[-1].is_open)

    @staticmethod
    async def _until_answered(ask: Any) -> Any:
        for _ in range(50):
            try:
                return await ask()
            except VenueError:
                continue
        raise AssertionError("the exchange never answered")

    async def _end(self) -> None:
        if hasattr(self, "lab"):
            await self.lab.venue.stop()
        await self.stack.aclose()


TestFaultMachine = pytest.mark.timeout(3_000 if EXAMPLES else 400)(FaultMachine.TestCase)
TestFaultMachine.settings = settings(
    max_examples=int(EXAMPLES or 8),
    stateful_step_count=25,
    deadline=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.too_slow],
)
