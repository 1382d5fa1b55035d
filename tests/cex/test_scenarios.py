"""What connectors of other trading systems must survive, asked of ours on a real exchange.

docs/venues/scenarios.md lists all of them with the test that plays each; those that are not played elsewhere are here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain import OrderState, OutcomeUnknown, Side, VenueError, VenueUnavailable
from domain.events import OrderReported
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, ask_of, cancel_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[{}, {"orders": "rest"}], ids=["websocket", "rest"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[SandboxLab]:
    async with sandbox_lab(poll_ms=300, **request.param) as lab:
        yield lab


async def test_cancel_whose_answer_is_lost_is_told_by_the_stream_or_by_asking(lab: SandboxLab) -> None:
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    await lab.strike("drop_cancel_ack")
    try:
        await lab.venue.cancel(cancel_of(order))
    except VenueError:
        await lab.venue.ask(ask_of(order))
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
    assert await lab.venue.open_orders() == []


async def test_cancel_of_an_order_the_venue_never_had_ends_it(lab: SandboxLab) -> None:
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.cancel(cancel_of(order))
    assert lab.recorder.states(order.client_order_id) == [OrderState.REJECTED]


async def test_of_two_cancels_the_one_that_fails_can_be_sent_again(lab: SandboxLab) -> None:
    first, second = an_order(lab, Side.BUY, BID), an_order(lab, Side.BUY, BID - 1)
    for order in (first, second):
        await lab.venue.place(order)
    await lab.strike("reject_429")
    with pytest.raises(VenueUnavailable):
        await lab.venue.cancel(cancel_of(first))
    # The venue asks for a second of silence; a cancel waits for it.
    await asyncio.gather(*(lab.venue.cancel(cancel_of(order)) for order in (first, second)))
    for order in (first, second):
        await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)


async def test_question_that_fails_says_nothing_about_the_order(lab: SandboxLab) -> None:
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    told = lab.recorder.states(order.client_order_id)
    await lab.strike("fail_query", 3)
    with pytest.raises(VenueUnavailable):
        await lab.venue.ask(ask_of(order))
    assert lab.recorder.states(order.client_order_id) == told
    await lab.strike("fail_query", 0)
    await lab.venue.ask(ask_of(order))
    assert lab.recorder.states(order.client_order_id)[-1] is OrderState.ACCEPTED


async def test_partial_fill_is_told_once_however_often_the_order_is_asked_about(lab: SandboxLab) -> None:
    order = an_order(lab, Side.SELL, ASK)
    await lab.venue.place(order)
    await lab.counter(Side.BUY, ASK, LOTS // 4, "IOC")
    for _ in range(3):
        await lab.venue.ask(ask_of(order))
    assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS // 4]
    assert not [state for state in lab.recorder.states(order.client_order_id) if not state.is_open]


async def test_filled_order_whose_trades_cannot_be_read_ends_when_they_can(lab: SandboxLab) -> None:
    order = an_order(lab, Side.SELL, ASK)
    await lab.venue.place(order)
    await lab.fault(fault="lose_report", count=20)
    await lab.fault(fault="fail_query", count=4)
    await lab.counter(Side.BUY, ASK, LOTS, "IOC")
    await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
    assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS]


async def test_order_that_another_program_cancels_ends_with_us_too(lab: SandboxLab) -> None:
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    await lab.ours.call("DELETE", "order", symbol="ETHUSDC", origClientOrderId=order.client_order_id)
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)


async def test_order_of_a_person_is_told_and_left_alone(lab: SandboxLab) -> None:
    await lab.ours.call(
        "POST", "order", symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="2900",
        newClientOrderId="by-hand",
    )  # fmt: skip
    await lab.recorder.until(lambda: any(r.client_order_id == "by-hand" for r in lab.recorder.of(OrderReported)))
    assert await lab.venue.open_orders() == ["by-hand"]


async def test_order_thrown_out_after_its_acknowledgement_ends_once(lab: SandboxLab) -> None:
    await lab.strike("reject_after_ack")
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    await lab.recorder.until_state(order.client_order_id, OrderState.REJECTED)
    assert lab.recorder.states(order.client_order_id)[-1] is OrderState.REJECTED
    assert await lab.venue.open_orders() == []


async def test_order_lost_on_its_way_is_unknown_until_its_window_is_over() -> None:
    async with sandbox_lab(recv_window_ms=300) as lab:
        await lab.strike("drop_order")
        order = an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(order)
        assert lab.recorder.states(order.client_order_id) == []
        await lab.venue.ask(ask_of(order))
        assert lab.recorder.states(order.client_order_id) == [OrderState.REJECTED]


async def test_reports_that_are_late_change_nothing_that_rest_said(lab: SandboxLab) -> None:
    order = an_order(lab, Side.SELL, ASK)
    await lab.venue.place(order)
    await lab.fault(fault="delay_report", count=1, delay_ms=400)
    await lab.counter(Side.BUY, ASK, LOTS, "IOC")
    await lab.venue.ask(ask_of(order))
    await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
    # Another report comes after the late ones, on the same line.
    after = an_order(lab, Side.BUY, BID)
    await lab.venue.place(after)
    await lab.venue.cancel(cancel_of(after))
    await lab.recorder.until_state(after.client_order_id, OrderState.CANCELED)
    assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS]
    assert set(lab.recorder.states(order.client_order_id)) == {OrderState.ACCEPTED, OrderState.FILLED}


def test_every_scenario_that_is_documented_is_played() -> None:
    page = (ROOT / "docs/venues/scenarios.md").read_text()
    played = {
        name
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 40
    assert not [name for name in named if name not in played]
