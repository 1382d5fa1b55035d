"""Connections that answer pings and say nothing else are found out and left."""

from __future__ import annotations

import asyncio

import pytest

from cex.binance.silence import WatchedLine
from domain import OrderState, OutcomeUnknown, Side, VenueUnavailable
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, ask_of


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at_ns = 0

    def now_ns(self) -> int:
        return self.at_ns

    def monotonic_ns(self) -> int:
        return self.at_ns


async def stalled(lab: SandboxLab, count: int) -> None:
    """Wait until the exchange has so many connections left that it says nothing on."""
    async with asyncio.timeout(60):
        while (await lab.health())["stalled"] != count:
            pass


async def test_order_socket_that_falls_silent_costs_one_order_its_answer() -> None:
    async with sandbox_lab(request_timeout_ms=2_000, poll_ms=60_000) as lab:
        await lab.fault(fault="stall_sockets", door="api")
        lost, next_ = an_order(lab, Side.BUY, BID), an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(lost)
        await stalled(lab, 1)
        await lab.venue.place(next_)
        await lab.venue.ask(ask_of(lost))
        for order in (lost, next_):
            await lab.recorder.until_state(order.client_order_id, OrderState.ACCEPTED)


async def test_user_stream_that_falls_silent_is_left_when_rest_knows_more() -> None:
    async with sandbox_lab(poll_ms=200) as lab:
        order = an_order(lab, Side.SELL, ASK, 2 * LOTS)
        await lab.venue.place(order)
        await lab.recorder.until_state(order.client_order_id, OrderState.ACCEPTED)
        await lab.fault(fault="stall_sockets", door="api")
        await lab.counter(Side.BUY, ASK, LOTS, "IOC")
        await stalled(lab, 1)
        await lab.counter(Side.BUY, ASK, LOTS, "IOC")
        await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS, LOTS]


async def test_line_that_carried_something_since_is_kept() -> None:
    clock, read = Ticks(), asyncio.Event()
    line = WatchedLine(clock)

    async def reading() -> None:
        await read.wait()

    clock.at_ns = 10
    line.heard()
    line.doubt(10)
    task = asyncio.create_task(line.read(reading()))
    await asyncio.sleep(0)
    line.doubt(5)
    read.set()
    await task


async def test_line_that_carried_nothing_is_given_up() -> None:
    line = WatchedLine(Ticks())

    async def reading() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(line.read(reading()))
    await asyncio.sleep(0)
    line.doubt(1)
    with pytest.raises(VenueUnavailable, match="silent"):
        await task


async def test_connections_that_end_at_once_are_waited_between_ever_longer() -> None:
    clock = Ticks()
    line = WatchedLine(clock)

    async def live(*, ns: int = 0, speaks: bool = False) -> None:
        async def reading() -> None:
            clock.at_ns += ns
            if speaks:
                line.heard()

        await line.read(reading())

    waits = []
    for life in ({}, {}, {"ns": 10**9}, {"speaks": True}, {}, {"ns": 6 * 10**9}):
        await live(**life)
        waits.append(line.backoff_s())
    assert waits == [0.05, 0.1, 0.2, 0.05, 0.1, 0.05]
