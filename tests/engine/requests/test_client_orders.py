"""Orders asked for from outside: each once, under the gate, replayed as they were."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from domain import InputError, OrderState, OrderType, OutcomeUnknown, Side, TimeInForce
from domain import events as e
from engine import requests as requests_module
from engine.requests import Requests
from engine.strategies.client_orders import ClientOrdersSettings
from engine.strategies.pure_market_making import PureMarketMakingSettings
from tests.engine.strategies.desk import Desk

SETTINGS = ClientOrdersSettings(id="desk", instruments=("one:ETHUSDC",))
WANTED = {
    "request": "order-1", "strategy": "desk", "instrument": "one:ETHUSDC", "side": "buy", "type": "limit",
    "time_in_force": "gtc", "price": "2999.50", "qty": "0.5",
}  # fmt: skip


class Door:
    """The door in front of a kernel that steps as soon as it is told something."""

    def __init__(self, **limits: Any) -> None:
        self.desk = Desk(SETTINGS, **limits)
        self.log: list[e.Event] = []
        self.requests = Requests(self.desk.kernel, self.tell)

    def tell(self, event: e.Event) -> None:
        self.log.append(event)
        self.requests.on_step(event, self.desk.tell(event))

    async def told(self, kind: type) -> None:
        """Wait until something of a kind was told: some turns of the loop."""
        for _ in range(100):
            if any(isinstance(event, kind) for event in self.log):
                return
            await asyncio.sleep(0)
        raise AssertionError(f"no {kind.__name__} was told")

    def report(self, state: OrderState, at: int = 0) -> None:
        order = list(self.desk.kernel.orders.orders.values())[at]
        report = e.OrderReported(
            time_ns=self.desk.now_ns, client_order_id=order.client_order_id, state=state, venue_order_id="v1"
        )
        self.requests.on_step(report, self.desk.tell(report))


@pytest.fixture
def door() -> Door:
    door = Door()
    door.desk.book(299_990, 300_010)
    return door


async def test_an_order_is_placed_once_however_often_it_is_asked_for(door):
    first = await door.requests.place(WANTED, wait_s=0)
    assert first == {
        "request": "order-1", "strategy": "desk", "instrument": "one:ETHUSDC", "side": "buy", "type": "limit",
        "time_in_force": "gtc", "price": "2999.50", "qty": "0.500", "client_order_id": first["client_order_id"],
        "rule": None, "reason": None, "state": "pending", "filled": "0.000", "venue_order_id": None,
    }  # fmt: skip
    assert await door.requests.place(WANTED, wait_s=0) == first
    # Told by a journal, or by two at once: the kernel keeps it to one.
    door.desk.tell(door.log[-1])
    both = await asyncio.gather(*(door.requests.place(WANTED | {"request": "order-2"}, wait_s=0) for _ in range(5)))
    assert len({answer["client_order_id"] for answer in both}) == 1
    assert len(door.desk.kernel.orders.orders) == 2


@pytest.mark.parametrize(
    ("key", "value"), [("price", "2999.51"), ("qty", "0.501"), ("side", "sell"), ("time_in_force", "ioc")]
)
async def test_an_id_stands_for_one_order(door, key, value):
    await door.requests.place(WANTED, wait_s=0)
    with pytest.raises(InputError, match="was another order"):
        await door.requests.place(WANTED | {key: value}, wait_s=0)
    assert len(door.desk.kernel.orders.orders) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request": ""}, "request id"),
        ({"request": "a" * 65}, "request id"),
        ({"strategy": "other"}, "takes no orders"),
        ({"instrument": "one:BTCUSDC"}, "does not trade"),
        ({"side": "hold"}, "hold"),
        ({"type": "stop"}, "stop"),
        ({"time_in_force": "day"}, "day"),
        ({"price": "2999.505"}, "2999.505"),
        ({"price": "-1"}, "positive decimal"),
        ({"price": "1e3"}, "positive decimal"),
        ({"price": 3000}, "is text"),
        ({"price": "0"}, "must be positive"),
        ({"qty": "0.0005"}, "0.0005"),
        ({"qty": "0"}, "must be positive"),
        ({"qty": None}, "is text"),
        ({"type": "market"}, "has no price"),
        ({"type": "limit_maker", "time_in_force": "ioc"}, "good till cancelled"),
    ],
)
async def test_what_cannot_be_is_refused_and_reaches_nobody(door, change, message):
    with pytest.raises(InputError, match=message):
        await door.requests.place(WANTED | change, wait_s=0)
    assert door.log == []


async def test_a_strategy_that_decides_for_itself_takes_no_orders():
    desk = Desk(QUOTER)
    with pytest.raises(InputError, match="takes no orders") as caught:
        await Requests(desk.kernel, desk.tell).place(WANTED, wait_s=0)
    assert "kind client-orders" in caught.value.hint


QUOTER = PureMarketMakingSettings(id="desk", instrument="one:ETHUSDC", qty=Decimal("0.5"), inventory_max=Decimal(5))


async def test_the_gate_says_no_by_name(door):
    small = Door(order_notional_max=100)
    small.desk.book(299_990, 300_010)
    answer = await small.requests.place(WANTED, wait_s=0)
    assert (answer["state"], answer["rule"], answer["client_order_id"]) == ("denied", "order_notional", None)
    assert answer["reason"]
    assert await small.requests.place(WANTED, wait_s=0) == answer, "asked again it stays a no"


async def test_a_market_order_is_bounded_by_the_book(door):
    market = {key: value for key, value in WANTED.items() if key != "price"} | {"type": "market"}
    buy = await door.requests.place(market | {"request": "b"}, wait_s=0)
    sell = await door.requests.place(market | {"request": "s", "side": "sell"}, wait_s=0)
    assert (buy["price"], buy["time_in_force"]) == (None, "ioc")
    placed = list(door.desk.kernel.orders.orders.values())
    # 50 bps of 3000.10 up, of 2999.90 down, to the tick within.
    assert [(o.type, o.time_in_force, o.price_ticks) for o in placed] == [
        (OrderType.LIMIT, TimeInForce.IOC, 301_510),
        (OrderType.LIMIT, TimeInForce.IOC, 298_491),
    ]
    assert sell["state"] == "pending"
    door.desk.lose_book()
    refused = await door.requests.place(market | {"request": "n"}, wait_s=0)
    assert refused["state"] == "denied"


async def test_whoever_waits_hears_the_venue(door):
    waiting = asyncio.create_task(door.requests.place(WANTED, wait_s=60))
    await door.told(e.OrderRequested)
    door.report(OrderState.ACCEPTED)
    answer = await waiting
    assert (answer["state"], answer["venue_order_id"]) == ("accepted", "v1")
    cancelling = asyncio.create_task(door.requests.cancel("order-1", "desk", wait_s=60))
    await door.told(e.CancelRequested)
    door.report(OrderState.CANCELED)
    assert (await cancelling)["state"] == "canceled"
    before = len(door.log)
    again = await door.requests.cancel("order-1", "desk", wait_s=60)
    assert again["state"] == "canceled", "an ended order is left alone"
    assert len(door.log) == before


async def test_a_fill_ends_the_wait_too(door):
    waiting = asyncio.create_task(door.requests.place(WANTED, wait_s=60))
    await door.told(e.OrderRequested)
    order = next(iter(door.desk.kernel.orders.orders.values()))
    door.desk.fill(order)
    door.requests.on_step(e.FillReported(time_ns=0, fill=fill_of(order)), [])
    assert ((await waiting)["state"], (await waiting)["filled"]) == ("filled", "0.500")


def fill_of(order: Any) -> Any:
    from domain import Fill

    return Fill(
        venue="one", symbol="ETHUSDC", trade_id="9", client_order_id=order.client_order_id, venue_order_id="v",
        side=Side.BUY, price_ticks=1, qty_lots=1, quote_raw=0,
        fee_asset="USDC", fee_raw=0, is_maker=True, venue_time_ns=0,
    )  # fmt: skip


async def test_after_a_kill_nothing_is_taken(door):
    door.desk.tell(e.OperatorSpoke(time_ns=door.desk.now_ns, command="kill", reason="drill"))
    answer = await door.requests.place(WANTED, wait_s=0)
    assert (answer["state"], answer["client_order_id"]) == ("denied", None)
    assert answer["rule"]


async def test_an_unknown_request_is_not_found_and_placed_by_nobody_asking(door):
    with pytest.raises(InputError, match="no order was asked for"):
        door.requests.find("nothing")
    assert door.log == []


async def test_a_cancel_that_comes_first_keeps_the_order_from_being_placed(door):
    answer = await door.requests.cancel("order-1", "desk", wait_s=0)
    assert (answer["state"], answer["rule"]) == ("denied", "withdrawn")
    placed = await door.requests.place(WANTED, wait_s=0)
    assert (placed["state"], placed["rule"], placed["client_order_id"]) == ("denied", "withdrawn", None)
    assert door.desk.kernel.orders.orders == {}
    again = Door()
    again.desk.book(299_990, 300_010)
    for event in door.log:
        again.desk.tell(event)
    assert again.desk.kernel.orders.orders == {}, "a replay has it so, too"


@pytest.mark.parametrize(("request_id", "strategy"), [("", "desk"), ("x" * 65, "desk"), ("r", "other")])
async def test_a_withdrawal_that_cannot_be_is_refused(door, request_id, strategy):
    with pytest.raises(InputError):
        await door.requests.cancel(request_id, strategy, wait_s=0)
    assert door.log == []


async def test_an_engine_that_does_not_come_to_it_leaves_the_outcome_open(door, monkeypatch):
    monkeypatch.setattr(requests_module, "COME_TO_S", 0.0)
    requests = Requests(door.desk.kernel, lambda _event: None)
    with pytest.raises(OutcomeUnknown) as caught:
        await requests.place(WANTED, wait_s=0)
    assert caught.value.request_id == "order-1"


async def test_a_replay_places_and_cancels_the_same(door):
    await door.requests.place(WANTED, wait_s=0)
    door.report(OrderState.ACCEPTED)
    await door.requests.cancel("order-1", "desk", wait_s=0)
    again = Door()
    again.desk.book(299_990, 300_010)
    placed = again.desk.tell(door.log[0])
    again.report(OrderState.ACCEPTED)
    cancelled = again.desk.tell(door.log[1])
    assert [type(command) for command in placed + cancelled] == [e.PlaceOrder, e.CancelOrder]
    assert again.requests.find("order-1")["client_order_id"] == door.requests.find("order-1")["client_order_id"]
    assert again.desk.kernel.digest == door.desk.kernel.digest
