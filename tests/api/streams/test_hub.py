"""Whatever is lost, late or cut: a reader by the protocol ends with the server's state."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.streams import channel as channel_module
from api.streams.channel import Channel
from api.streams.hub import Hub, Lagging
from runtime import ManualClock
from tests.api.streams.client import Gap, View


class Reader:
    """A connection that may lose, hold back and reconnect."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name = hub, name
        self.view = View()
        self.in_flight: list[bytes] = []
        self.session = hub.open()
        hub.subscribe(self.session, name, "k")

    def pump(self) -> None:
        try:
            self.in_flight += self.session.take()
        except Lagging:
            self.reconnect(resume=True)

    def deliver(self, count: int) -> None:
        for _ in range(count):
            if not self.in_flight:
                return
            try:
                self.view.take(self.in_flight.pop(0))
            except Gap:
                self.reconnect(resume=True)

    def lose(self, at: int) -> None:
        if self.in_flight:
            self.in_flight.pop(at % len(self.in_flight))

    def hear_beat(self) -> None:
        """A beat says where the server thinks we stand: what was lost last shows by it."""
        for _, _, epoch, seq in json.loads(self.session.beat(0))["at"]:
            if (epoch, seq) != (self.view.epoch, self.view.seq):
                self.reconnect(resume=True)

    def reconnect(self, *, resume: bool) -> None:
        """The socket is gone with all that was in it."""
        self.hub.close(self.session)
        self.in_flight = []
        self.session = self.hub.open()
        seen = {"epoch": self.view.epoch, "seq": self.view.seq} if resume else {}
        self.hub.subscribe(self.session, self.name, "k", **seen)


KEYS = st.sampled_from("abcd")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.dictionaries(KEYS, st.one_of(st.none(), st.integers(0, 9)), max_size=3)),
        st.tuples(st.just("replace"), st.dictionaries(KEYS, st.integers(0, 9), max_size=3)),
        st.tuples(st.just("pump"), st.none()),
        st.tuples(st.just("deliver"), st.integers(1, 4)),
        st.tuples(st.just("lose"), st.integers(0, 5)),
        st.tuples(st.just("reconnect"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 40)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("name", ["pnl", "orders"])
@settings(deadline=None)
@given(steps=steps)
def test_any_pattern_of_drops_delays_and_reconnects_ends_equal(name, steps):
    clock = ManualClock(10**18)
    hub = Hub(clock.now_ns)
    readers = [Reader(hub, name), Reader(hub, name)]
    for kind, value in steps:
        match kind:
            case "publish":
                hub.publish(name, "k", value)
            case "replace":
                hub.replace(name, "k", value)
            case "wait":
                clock.advance(seconds=value)
            case "pump":
                readers[0].pump()
            case "deliver":
                readers[0].deliver(value)
            case "lose":
                readers[0].lose(value)
            case "reconnect":
                readers[0].reconnect(resume=value)
        readers[1].pump()
        readers[1].deliver(100)
    for reader in readers:
        for _ in range(2):
            reader.pump()
            reader.deliver(1_000)
            reader.hear_beat()
        reader.pump()
        reader.deliver(1_000)
        assert reader.view.state == hub.channel(name, "k").state
        assert reader.view.seq == hub.channel(name, "k").seq


@settings(deadline=None)
@given(st.lists(st.sampled_from(["event", "pump", "deliver", "reconnect"]), max_size=60))
def test_no_event_is_lost_while_the_ring_has_it(steps):
    hub = Hub(ManualClock(10**18).now_ns)
    reader, told = Reader(hub, "fills"), 0
    for step in steps:
        match step:
            case "event":
                told += 1
                hub.publish("fills", "k", {str(told): {"number": told}})
            case "pump":
                reader.pump()
            case "deliver":
                reader.deliver(1)
            case "reconnect":
                reader.reconnect(resume=True)
    reader.pump()
    reader.deliver(1_000)
    assert list(reader.view.events) == [str(n) for n in range(1, told + 1)]


def test_a_slow_reader_gets_state_in_one_delta_and_orders_one_by_one():
    hub = Hub(ManualClock(10**18).now_ns)
    for name, expected in (("pnl", [(1, 4)]), ("orders", [(1, 2), (2, 3), (3, 4)])):
        hub.publish(name, "k", {"a": 0})
        reader = Reader(hub, name)
        reader.pump()
        reader.deliver(1)
        for n in (1, 2, 3):
            hub.publish(name, "k", {"a": n})
        messages = reader.session.take()
        assert [(json.loads(m)["prev"], json.loads(m)["seq"]) for m in messages] == expected


def test_one_delta_is_written_once_for_everybody():
    hub = Hub(ManualClock(10**18).now_ns)
    hub.publish("pnl", "k", {"a": 0})
    readers = [Reader(hub, "pnl") for _ in range(3)]
    for reader in readers:
        reader.session.take()
    hub.publish("pnl", "k", {"a": 1})
    first, *others = [reader.session.take()[0] for reader in readers]
    assert all(message is first for message in others)


def test_on_a_lossless_channel_who_falls_out_of_the_ring_is_told_so(monkeypatch):
    monkeypatch.setattr(channel_module, "RING_MAX", 4)
    hub = Hub(ManualClock(10**18).now_ns)
    session = hub.open()
    hub.subscribe(session, "orders", "k")
    session.take()
    for n in range(6):
        hub.publish("orders", "k", {"a": n})
    with pytest.raises(Lagging):
        session.take()
    # On a state channel it is given the whole state.
    hub.subscribe(session, "pnl", "k")
    session.take()
    for n in range(6):
        hub.publish("pnl", "k", {"a": n})
    assert b'"snap"' in session.take()[0]


def test_the_ring_forgets_after_a_minute_and_an_old_epoch_is_no_place_to_go_on():
    clock = ManualClock(10**18)
    channel = Channel("pnl", "k", clock.now_ns)
    channel.publish({"a": 1})
    channel.publish({"a": 2})
    assert channel.begin(channel.epoch, 1) == 1
    assert channel.begin("another", 1) is None
    assert channel.begin(channel.epoch, 3) is None
    assert channel.begin(channel.epoch, None) is None
    clock.advance(seconds=61)
    channel.publish({"a": 3})
    assert channel.begin(channel.epoch, 1) is None
    assert channel.begin(channel.epoch, 2) == 2


def test_what_does_not_change_is_not_told():
    channel = Channel("pnl", "k", ManualClock(10**18).now_ns)
    assert channel.publish({"a": 1})
    assert not channel.publish({"a": 1})
    assert not channel.publish({"b": None})
    assert channel.seq == 1


async def test_a_session_sleeps_until_there_is_something():
    hub = Hub(ManualClock(10**18).now_ns)
    session = hub.open()
    waiting = asyncio.create_task(session.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    session.say(b"hello")
    assert await waiting == [b"hello"]
    hub.subscribe(session, "pnl", "k")
    assert len(await session.next()) == 1
    hub.close(session)
    hub.publish("pnl", "k", {"a": 1})
    assert session.subscriptions == {}
    assert not session._wake.is_set()


class Direct:
    """A socket that takes what it is given now, while it is free."""

    def __init__(self) -> None:
        self.is_free = True
        self.sent: list[bytes] = []

    def __call__(self, message: bytes) -> bool:
        if self.is_free:
            self.sent.append(message)
        return self.is_free


async def test_a_socket_that_is_free_is_sent_the_next_delta_at_once_and_never_out_of_turn() -> None:
    hub = Hub(ManualClock(1).now_ns)
    session, direct, view = hub.open(), Direct(), View()
    session.direct = direct
    hub.subscribe(session, "pnl", "pf", epoch=None)
    heard = await session.next()  # The snapshot goes by the task, as all that is said.
    hub.publish("pnl", "pf", {"a": 1})
    assert direct.sent == []  # What `next` gave may not have left yet.
    waiting = asyncio.ensure_future(session.next())
    await asyncio.sleep(0)
    heard += await waiting
    following = asyncio.ensure_future(session.next())
    await asyncio.sleep(0)
    hub.publish("pnl", "pf", {"a": 2})
    hub.publish("pnl", "pf", {"b": 1})
    assert len(direct.sent) == 2
    direct.is_free = False
    hub.publish("pnl", "pf", {"b": 2})
    direct.is_free = True
    hub.publish("pnl", "pf", {"b": 3})
    assert len(direct.sent) == 2  # One is waiting: this one may not overtake it.
    for message in heard + direct.sent + await following:
        view.take(message)
    assert view.state == {"a": 2, "b": 3}
