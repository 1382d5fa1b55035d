"""A follower that takes snapshot and parts ends with the engine's state; every trade is told once."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import pytest

from cli.engine_followers import WAITING_MAX, Followers
from domain import OrderState
from domain import events as e
from engine.feed import Feed, text
from engine.requests import Requests
from runtime.control import follow_control, serve_control
from tests.engine.requests.test_client_orders import SETTINGS, WANTED
from tests.engine.strategies.desk import Desk


class Follower:
    """Applies what it is told."""

    def __init__(self, snapshot):
        self.state = {topic: dict(values) for topic, values in snapshot["state"].items()}
        self.events = {topic: list(values) for topic, values in snapshot["events"].items()}

    def take(self, changes, events):
        for topic, key, value in changes:
            if value is None:
                del self.state[topic][key]
            else:
                self.state.setdefault(topic, {})[key] = value
        for topic, value in events:
            self.events[topic].append(value)

    def shown(self):
        return {topic: values for topic, values in self.state.items() if values}, self.events


class Lab:
    """A desk that takes orders from outside, and its feed."""

    def __init__(self):
        self.desk = Desk(SETTINGS)
        self.feed = Feed(self.desk.kernel)
        self.requests = 0

    def tell(self, event):
        self.feed.on_step(event, self.desk.tell(event))

    def book(self, bid, ask):
        self.desk.now_ns += 1
        now, bids, asks = self.desk.now_ns, ((bid, 5_000),), ((ask, 5_000),)
        name = "one:ETHUSDC"
        self.tell(e.BookChanged(time_ns=now, instrument=name, bids=bids, asks=asks, update_id=1, received_ns=0))

    def place(self):
        self.requests += 1
        event = Requests(self.desk.kernel, self.tell)._checked(WANTED | {"request": f"r{self.requests}"})
        self.tell(event)
        return self.order(-1)

    def order(self, at):
        return list(self.desk.kernel.orders.orders.values())[at]

    def report(self, order, state):
        self.tell(e.OrderReported(time_ns=self.desk.now_ns, client_order_id=order.client_order_id, state=state))

    def fill(self, order, lots):
        told = []
        original, self.desk.tell = self.desk.tell, lambda *events: told.extend(events) or []
        self.desk.fill(order, lots)
        self.desk.tell = original
        for event in told:
            self.tell(event)
        return told[0]


@pytest.fixture
def lab():
    lab = Lab()
    lab.book(299_990, 300_010)
    return lab


def test_state_by_parts_is_the_state_at_once(lab):
    lab.feed.take()
    follower = Follower(lab.feed.snapshot())
    first, second = lab.place(), lab.place()
    lab.report(first, OrderState.ACCEPTED)
    follower.take(*lab.feed.take())
    lab.fill(first, 200)
    follower.take(*lab.feed.take())
    lab.fill(first, 300)
    lab.report(second, OrderState.CANCELED)
    lab.book(300_090, 300_110)
    follower.take(*lab.feed.take())
    assert follower.shown() == Follower(lab.feed.snapshot()).shown()
    assert "orders" not in follower.shown()[0], "both have ended"
    assert [fill["number"] for fill in follower.events["fills"]] == [1, 2]
    assert follower.state["positions"]["desk/one:ETHUSDC"] == {
        "strategy": "desk", "instrument": "one:ETHUSDC", "qty": "0.5", "average_price": "0", "mark_price": "3001",
        "realised": "0", "unrealised": "1500.5", "currency": "USDC", "fees": {}, "trades": 2,
    }  # fmt: skip
    assert lab.feed.take() == ([], []), "nothing changed since"


def test_an_order_is_told_as_ended_once_and_then_no_more(lab):
    order = lab.place()
    lab.feed.take()
    lab.report(order, OrderState.CANCELED)
    told = [(key, value and value["state"]) for topic, key, value in lab.feed.take()[0] if topic == "orders"]
    assert told == [(order.client_order_id, "canceled"), (order.client_order_id, None)]


def test_a_trade_told_again_is_told_once(lab):
    order = lab.place()
    event = lab.fill(order, 100)
    lab.tell(event)
    assert len(lab.feed.take()[1]) == 1


def test_a_lost_book_is_told_as_such(lab):
    lab.tell(e.BookInvalidated(time_ns=lab.desk.now_ns, instrument="one:ETHUSDC", reason="gap"))
    books = [value for topic, _, value in lab.feed.take()[0] if topic == "books"]
    assert books == [{"instrument": "one:ETHUSDC", "is_valid": False, "bids": [], "asks": []}]


def test_refusals_and_stages_are_alerts(lab):
    lab.feed.take()
    lab.tell(e.OperatorSpoke(time_ns=lab.desk.now_ns, command="kill", reason="drill"))
    kinds = [(value["kind"], value["level"]) for topic, value in lab.feed.take()[1] if topic == "alerts"]
    assert ("engine.stage", "critical") in kinds


def test_how_things_stand_is_told_when_asked(lab):
    assert lab.feed.standing() == {
        "stage": "running", "strategies": {"desk": {"stage": "running", "rule": None, "result": "0"}}, "differs": [],
    }  # fmt: skip
    now = lab.desk.now_ns
    lab.tell(e.OperatorSpoke(time_ns=now, command="stage", reason="drill", stage=2, strategy="desk"))
    differs = e.AccountDiffers(finding="unknown-order", detail="x1 is open", client_order_id="x1")
    lab.feed.on_step(e.TimerFired(time_ns=now, tag=0), [differs])
    told = lab.feed.standing()
    assert told["strategies"]["desk"]["stage"] == "cancel"
    assert told["strategies"]["desk"]["rule"] == "operator"
    assert [about["detail"]["order"] for about in told["differs"]] == ["x1"]


async def test_followers_get_it_over_the_socket_and_a_slow_one_is_cut_off(lab, tmp_path):
    followers = Followers(lab.feed)
    async with serve_control(tmp_path / "e.sock", _nothing, streams={"follow": followers.follow}):
        stream = follow_control(tmp_path / "e.sock", {"command": "follow"})
        async with contextlib.aclosing(stream):
            follower = Follower(await anext(stream))
            order = lab.place()
            followers.draw()
            part = await anext(stream)
            follower.take(part["changes"], part["events"])
            assert follower.state["orders"][order.client_order_id]["state"] == "pending"
    slow = followers.follow({})
    await anext(slow)
    for n in range(WAITING_MAX + 2):
        lab.book(299_990 + n % 2, 300_010 + n % 2)
        followers.draw()
    parts = [part async for part in slow]
    assert len(parts) == WAITING_MAX
    assert followers._queues == set()


async def _nothing(_request):
    return {}


async def test_a_reader_that_does_not_read_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr("runtime.control.STREAM_STALL_S", 0.01)
    ended = asyncio.Event()

    async def endless(_request):
        try:
            while True:
                yield {"x": "y" * 100_000}
        finally:
            ended.set()

    async with serve_control(tmp_path / "e.sock", _nothing, streams={"follow": endless}):
        _reader, writer = await asyncio.open_unix_connection(tmp_path / "e.sock", limit=1_000)
        writer.write(b'{"command": "follow"}\n')
        async with asyncio.timeout(60):
            await ended.wait()
        writer.close()


@pytest.mark.parametrize(
    ("value", "shown"), [("1.500", "1.5"), ("10", "10"), ("0.00", "0"), ("-0.0", "0"), ("1E+3", "1000")]
)
def test_decimals_are_written_plainly(value, shown):
    assert text(Decimal(value)) == shown
