"""Orders as the exchange receives them: exact numbers, our id, on time by its clock, and never after we gave up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from msgspec.structs import replace

from cex import CcxtVenue
from cex.account import OrderSnapshot
from cex.handover import CURRENT
from cex.sandbox.server import SandboxServer
from domain import InputError, OrderState, OrderType, OutcomeUnknown, Side, TimeInForce, VenueUnavailable
from domain.events import OrderReported
from runtime import SystemClock
from tests.cex.lab import SandboxLab, quiet_config, sandbox, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, ask_of, cancel_of


@pytest.fixture
async def lab() -> AsyncIterator[SandboxLab]:
    async with sandbox_lab() as lab:
        yield lab


async def test_order_arrives_as_written(lab: SandboxLab) -> None:
    order = an_order(lab, Side.SELL, ASK + 7, 1_234, type=OrderType.LIMIT_MAKER)
    await lab.venue.place(order)
    [row] = await lab.ours.call("GET", "openOrders", symbol="ETHUSDC")
    assert row["clientOrderId"] == order.client_order_id
    assert (row["price"], row["origQty"], row["side"], row["type"]) == (
        "3010.07000000",
        "0.12340000",
        "SELL",
        "LIMIT_MAKER",
    )


async def test_time_in_force_arrives_as_meant(lab: SandboxLab) -> None:
    for tif in TimeInForce:
        order = an_order(lab, Side.BUY, BID, tif=tif)
        await lab.venue.place(order)
        row = await lab.ours.call("GET", "order", symbol="ETHUSDC", origClientOrderId=order.client_order_id)
        assert row["timeInForce"] == tif.value.upper()


async def test_reduce_only_is_refused_with_a_reason_and_nothing_is_sent(lab: SandboxLab) -> None:
    order = replace(an_order(lab, Side.SELL, ASK), reduce_only=True)
    with pytest.raises(InputError, match="spot"):
        await lab.venue.place(order)
    assert await lab.venue.open_orders() == []


@pytest.mark.parametrize(
    "changes",
    [{}, {"orders": "rest"}, {"feed": "ccxt"}, {"exchange": "binanceus"}],
    ids=["websocket", "rest", "ccxt-websocket", "ccxt-rest"],
)
async def test_sent_instant_lies_between_the_call_and_the_answer(changes: dict[str, str]) -> None:
    async with sandbox_lab(**changes) as lab:
        before = time.perf_counter_ns()
        sent = await lab.venue.place(an_order(lab, Side.BUY, BID))
        assert before < sent < time.perf_counter_ns()


async def test_orders_are_timely_by_the_exchanges_clock_not_ours() -> None:
    """The exchange is 90 s ahead; orders more than `recv_window_ms` off are refused by it."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    server = SandboxServer(quiet_config(), clock_ms=lambda: time.time_ns() // 1_000_000 + 90_000)
    serving = asyncio.create_task(server.run(stop, port.set_result))
    async with aiohttp.ClientSession() as session:
        lab = await SandboxLab(f"http://127.0.0.1:{await port}", session).open()
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        assert await lab.venue.open_orders() == [order.client_order_id]
        await lab.venue.stop()
    stop.set()
    await serving


async def test_absence_is_believed_only_after_the_order_can_no_longer_arrive() -> None:
    async with sandbox_lab(recv_window_ms=2_000) as lab:
        started = time.perf_counter()
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.ask(ask_of(order))
        assert lab.recorder.states(order.client_order_id) == [OrderState.REJECTED]
        again = time.perf_counter()
        await lab.venue.ask(ask_of(order))
        assert again - started > 1.7, "the window since the start had not passed"
        assert time.perf_counter() - again < 1.7, "an end that was told needs no second wait"


@pytest.mark.parametrize("failure", [ConnectionResetError(), VenueUnavailable("garbled"), TimeoutError()])
async def test_what_failed_after_it_was_sent_is_unknown_and_its_window_begins_when_it_left(
    lab: SandboxLab, failure: Exception
) -> None:
    """Some clients ask the venue something first, and stamp the order after that."""
    orders, left_ns = lab.venue._orders, 0

    async def send() -> OrderSnapshot:
        nonlocal left_ns
        await lab.round_trip()
        handover = CURRENT.get()
        assert handover is not None
        handover.touched = True
        handover.sent_ns = left_ns = SystemClock().monotonic_ns()
        raise failure

    with pytest.raises(OutcomeUnknown):
        await orders._submit(orders.market(lab.instrument.id), "sent-late", send)
    known = lab.venue._reports.find("sent-late")
    assert known is not None
    assert known.registered_ns == left_ns > 0


async def test_exchange_that_went_away_refuses_orders_in_bounded_time() -> None:
    async with aiohttp.ClientSession() as session:
        async with sandbox() as base_url:
            lab = await SandboxLab(base_url, session).open()
            await lab.venue.place(an_order(lab, Side.BUY, BID))
        async with asyncio.timeout(60):
            with pytest.raises((VenueUnavailable, OutcomeUnknown)):
                await lab.venue.place(an_order(lab, Side.BUY, BID))
            with pytest.raises(VenueUnavailable):
                await lab.venue.cancel_all()
            await lab.venue.stop()


async def test_cancel_all_waits_for_orders_on_their_way(lab: SandboxLab) -> None:
    await lab.strike("delay_ack", delay_ms=300)
    slow = an_order(lab, Side.BUY, BID)
    placing = asyncio.create_task(lab.venue.place(slow))
    await asyncio.sleep(0)
    await lab.venue.cancel_all()
    await placing
    await lab.recorder.until_state(slow.client_order_id, OrderState.CANCELED)
    assert await lab.venue.open_orders() == []


async def test_cancel_all_settles_orders_whose_answer_was_lost(lab: SandboxLab) -> None:
    await lab.strike("drop_ack")
    lost = an_order(lab, Side.BUY, BID)
    with pytest.raises(OutcomeUnknown):
        await lab.venue.place(lost)
    assert await lab.venue.cancel_all() == 1
    await lab.recorder.until_state(lost.client_order_id, OrderState.CANCELED)


async def test_connected_venue_cancels_without_following_anything(lab: SandboxLab) -> None:
    """What `capstan kill` needs works also when no stream does."""
    order = an_order(lab, Side.BUY, BID)
    await lab.venue.place(order)
    killer = CcxtVenue(lab.settings(), clock=SystemClock())
    await killer.connect(lambda _event: None)
    assert await killer.open_orders() == [order.client_order_id]
    with pytest.raises(VenueUnavailable):
        await killer.place(an_order(lab, Side.BUY, BID))
    assert await killer.cancel_all() == 1
    assert await killer.open_orders() == []
    await killer.stop()
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)


async def test_restarted_venue_answers_for_orders_of_its_predecessor(lab: SandboxLab) -> None:
    await lab.counter(Side.SELL, ASK, LOTS)
    order = an_order(lab, Side.BUY, ASK, 2 * LOTS)
    await lab.venue.place(order)
    await lab.recorder.until(lambda: len(lab.recorder.fills()) == 1)
    told = lab.recorder.fills()
    await lab.venue.stop()
    lab.recorder.events.clear()
    await lab.open()
    assert await lab.venue.cancel_all() == 1
    await lab.venue.ask(ask_of(order))
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
    assert [fill.trade_id for fill in lab.recorder.fills()] == [fill.trade_id for fill in told]
    assert [fill.trade_id for fill in await lab.venue.fills()] == [fill.trade_id for fill in told]


async def test_trades_from_before_the_start_are_told_only_to_who_asks(lab: SandboxLab) -> None:
    """They are part of the opening balances: told unasked, they would be booked twice."""
    order = an_order(lab, Side.SELL, ASK)
    await lab.venue.place(order)
    await lab.counter(Side.BUY, ASK, LOTS // 4, "IOC")
    await lab.recorder.until(lambda: len(lab.recorder.fills()) == 1)
    await lab.venue.stop()
    lab.recorder.events.clear()
    await lab.open(poll_ms=100)
    assert await lab.venue.cancel_all() == 1
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
    [report] = [r for r in lab.recorder.of(OrderReported) if r.state is OrderState.CANCELED]
    assert report.filled_lots == LOTS // 4
    await lab.venue.cancel(cancel_of(order))
    assert lab.recorder.fills() == []
    await lab.venue.ask(ask_of(order))
    assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS // 4]
    assert len(await lab.venue.fills()) == 1


async def test_fills_are_read_over_many_pages(lab: SandboxLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cex.account.PAGE", 3)
    await lab.counter(Side.SELL, ASK, 10 * LOTS)
    for _ in range(10):
        await lab.venue.place(an_order(lab, Side.BUY, ASK, tif=TimeInForce.IOC))
    await lab.recorder.until(lambda: len(lab.recorder.fills()) == 10)
    await lab.venue.stop()
    await lab.open()  # Knows no names yet: they are found among the orders.
    fills = await lab.venue.fills()
    assert [fill.trade_id for fill in fills] == [fill.trade_id for fill in lab.recorder.fills()]
    assert [f.client_order_id for f in fills] == [f.client_order_id for f in lab.recorder.fills()]
