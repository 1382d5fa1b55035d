"""Cancel-replace by both doors: both halves are told, and whatever fails is told as what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from domain import InputError, OrderRejected, OrderState, OrderType, OutcomeUnknown, Side
from domain.events import PlaceOrder
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order, ask_of, cancel_of


@pytest.fixture(params=["auto", "rest"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[SandboxLab]:
    async with sandbox_lab(orders=request.param) as lab:
        yield lab


async def resting(lab: SandboxLab, price_ticks: int = BID) -> PlaceOrder:
    order = an_order(lab, Side.BUY, price_ticks)
    await lab.venue.place(order)
    return order


async def test_one_order_takes_the_place_of_another(lab: SandboxLab) -> None:
    old = await resting(lab)
    new = an_order(lab, Side.BUY, BID + 5, 2 * LOTS)
    assert await lab.venue.replace(cancel_of(old), new) > 0
    await lab.recorder.until_state(old.client_order_id, OrderState.CANCELED)
    await lab.recorder.until_state(new.client_order_id, OrderState.ACCEPTED)
    [row] = await lab.ours.call("GET", "openOrders", symbol="ETHUSDC")
    assert (row["clientOrderId"], row["price"], row["origQty"]) == (new.client_order_id, "2990.05000000", "0.08000000")


async def test_market_order_takes_the_place_of_a_resting_one(lab: SandboxLab) -> None:
    await lab.counter(Side.SELL, ASK, LOTS)
    old = await resting(lab)
    new = an_order(lab, Side.BUY, 0, type=OrderType.MARKET)
    await lab.venue.replace(cancel_of(old), new)
    await lab.recorder.until_state(new.client_order_id, OrderState.FILLED)
    assert [fill.client_order_id for fill in lab.recorder.fills()] == [new.client_order_id]


async def test_nothing_is_placed_where_the_first_is_not_open_any_more(lab: SandboxLab) -> None:
    old = await resting(lab)
    await lab.counter(Side.SELL, BID, LOTS)
    await lab.recorder.until_state(old.client_order_id, OrderState.FILLED)
    with pytest.raises(OrderRejected) as refusal:
        await lab.venue.replace(cancel_of(old), an_order(lab, Side.BUY, BID))
    assert refusal.value.code == "-2011"
    assert await lab.venue.open_orders() == []


async def test_end_of_the_first_is_told_where_the_second_is_refused(lab: SandboxLab) -> None:
    await lab.counter(Side.SELL, ASK, LOTS)
    old = await resting(lab)
    new = an_order(lab, Side.BUY, ASK, type=OrderType.LIMIT_MAKER)
    with pytest.raises(OrderRejected) as refusal:
        await lab.venue.replace(cancel_of(old), new)
    assert refusal.value.code == "-2010"
    await lab.recorder.until_state(old.client_order_id, OrderState.CANCELED)
    assert lab.recorder.states(new.client_order_id) == []
    assert await lab.venue.open_orders() == []


async def test_what_the_first_had_filled_is_told_before_its_end(lab: SandboxLab) -> None:
    old = await resting(lab)
    await lab.counter(Side.SELL, BID, LOTS // 4)
    await lab.venue.replace(cancel_of(old), an_order(lab, Side.BUY, BID + 1))
    await lab.recorder.until_state(old.client_order_id, OrderState.CANCELED)
    assert sum(fill.qty_lots for fill in lab.recorder.fills(old.client_order_id)) == LOTS // 4


@pytest.mark.parametrize("fault", ["drop_ack", "error_after_accept"])
async def test_lost_answer_leaves_both_unknown_and_both_are_found(lab: SandboxLab, fault: str) -> None:
    old = await resting(lab)
    new = an_order(lab, Side.BUY, BID + 3)
    await lab.strike(fault)
    with pytest.raises(OutcomeUnknown) as unknown:
        await lab.venue.replace(cancel_of(old), new)
    assert unknown.value.request_id == new.client_order_id
    await lab.venue.ask(ask_of(old))
    await lab.venue.ask(ask_of(new))
    await lab.recorder.until_state(old.client_order_id, OrderState.CANCELED)
    await lab.recorder.until_state(new.client_order_id, OrderState.ACCEPTED)
    assert await lab.venue.open_orders() == [new.client_order_id]


async def test_what_cannot_be_replaced_in_one_step_is_refused() -> None:
    async with sandbox_lab(feed="ccxt") as lab:
        old = await resting(lab)
        with pytest.raises(InputError, match="in one step"):
            await lab.venue.replace(cancel_of(old), an_order(lab, Side.BUY, BID))
        assert await lab.venue.open_orders() == [old.client_order_id]
