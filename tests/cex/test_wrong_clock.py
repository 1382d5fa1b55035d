"""A venue whose clock is not ours: nothing is stuck over it, and no order is given up that may still arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from domain import OrderState, OutcomeUnknown, Side, VenueError, VenueUnavailable
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, ask_of, cancel_of

SKEWS_MS = (-5_000, 5_000)


@pytest.fixture
async def lab() -> AsyncIterator[SandboxLab]:
    async with sandbox_lab(poll_ms=60_000) as lab:
        yield lab


@pytest.mark.parametrize("skew_ms", SKEWS_MS)
async def test_cancel_is_not_held_up_by_a_clock_that_jumped(lab: SandboxLab, skew_ms: int) -> None:
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    await lab.fault(fault="clock_skew", skew_ms=skew_ms)
    await lab.venue.cancel(cancel_of(order))
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
    assert await lab.venue.open_orders() == []


@pytest.mark.parametrize("skew_ms", SKEWS_MS)
async def test_user_stream_comes_back_after_a_clock_jumped(lab: SandboxLab, skew_ms: int) -> None:
    order = an_order(lab, Side.SELL, ASK)
    await lab.venue.place(order)
    await lab.fault(fault="clock_skew", skew_ms=skew_ms)
    await lab.fault(fault="kill_sockets")
    await lab.fault(fault="clock_skew", skew_ms=0)
    await lab.counter(Side.BUY, ASK, LOTS, "IOC")
    await lab.fault(fault="clock_skew", skew_ms=skew_ms)
    await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
    assert sum(fill.qty_lots for fill in lab.recorder.fills()) == LOTS


async def test_order_is_not_given_up_while_a_slow_clock_would_still_take_it() -> None:
    async with sandbox_lab(request_timeout_ms=800) as lab:
        # The venue sees timestamps 0.9 s ahead of its clock, which it allows: a window of 1 s lasts 1.9 s.
        await lab.fault(fault="clock_skew", skew_ms=-900)
        await lab.fault(fault="delay_order", count=1, delay_ms=1_200)
        order = an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(order)
        async with asyncio.timeout(60):
            while not lab.recorder.states(order.client_order_id):
                try:
                    await lab.venue.ask(ask_of(order))
                except VenueUnavailable:
                    continue
        # Orders go through one socket, in order: when this one is answered, the first has arrived.
        with suppress(VenueError):
            await lab.venue.place(an_order(lab, Side.BUY, BID))
        is_open = order.client_order_id in await lab.venue.open_orders()
        assert is_open == (lab.recorder.states(order.client_order_id)[-1] is OrderState.ACCEPTED)
