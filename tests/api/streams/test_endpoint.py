"""The stream's door: who comes in, what it may see, and when it has to go."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from starlette.websockets import WebSocket

from api.auth.principal import Method, Principal
from api.auth.scopes import Scope
from api.core.errors import Unauthenticated
from api.portfolios.directory import Portfolio
from api.streams import channel, endpoint, protocol
from api.streams.endpoint import Connection, Door
from api.streams.hub import Hub
from domain import VenueUnavailable
from runtime import ManualClock
from tests.api.streams.socket import Socket

WHO = Principal("acme", "key:k1", frozenset(Scope), Method.TICKET)
DESK = Portfolio("pf_desk", "acme", "desk", frozenset({"mm"}), False)
THEIRS = Portfolio("pf_other", "other", "theirs", frozenset({"x"}), False)


class House:
    """A door with tickets that are good once, and callers that can be sent away."""

    def __init__(self):
        self.tickets = {"good": WHO}
        self.standing = WHO
        self.portfolios = [DESK, THEIRS]
        self.broken = self.is_lost = False
        self.clock = ManualClock(10**18)
        self.hub = Hub(self.clock.now_ns)
        self.door = Door(
            hub=self.hub, directory=self, redeem=self.redeem, still=self.still,
            knows_instrument=lambda name: name == "one:ETHUSDC", now_ns=self.clock.now_ns,
        )  # fmt: skip

    async def redeem(self, word):
        if (who := self.tickets.pop(word, None)) is None:
            raise Unauthenticated("no such ticket")
        return who

    async def still(self, _who):
        if self.broken:
            raise VenueUnavailable("no database")
        return self.standing

    async def refresh(self):
        if self.is_lost:
            raise VenueUnavailable("no database")

    @property
    def version(self):
        return hash(tuple(self.portfolios))

    def visible(self, who):
        return [p for p in self.portfolios if p.organisation == who.organisation and who.sees(p.id)]


@pytest.fixture
def house():
    return House()


class Client:
    """A connection that runs beside the test."""

    def __init__(self, house, query="ticket=good"):
        self.socket = Socket(query)
        self.connection = Connection(self.socket.server, house.door)
        self.task = asyncio.create_task(self.connection.run())

    async def __aenter__(self):
        return self.socket

    async def __aexit__(self, *_):
        self.socket.leave()
        async with asyncio.timeout(60):
            await self.task


async def test_a_ticket_is_good_once_in_the_url_or_as_the_first_message(house):
    async with Client(house) as socket:
        ready = await socket.hear()
        assert ready == {
            "t": "ready", "id": None, "actor": "key:k1", "organisation": "acme",
            "portfolios": [{"id": "pf_desk", "name": "desk"}],
        }  # fmt: skip
    async with Client(house) as socket:
        assert (await socket.hear())["code"] == endpoint.NO_TICKET
    house.tickets["again"] = WHO
    async with Client(house, "") as socket:
        socket.say(op="auth", ticket="again", id=7)
        assert (await socket.hear())["id"] == 7
    assert house.hub.sessions == set()


async def test_who_is_gone_before_it_was_let_in_leaves_nothing(house):
    async def receive():
        return {"type": "websocket.connect"}

    async def send(_message):
        raise OSError("gone")

    await Connection(WebSocket(Socket("ticket=good").server.scope, receive, send), house.door).run()
    assert house.hub.sessions == set()
    assert set(house.tickets) == {"good"}, "it is still good"


async def test_whoever_says_nothing_or_something_else_first_is_sent_away(house, monkeypatch):
    async with Client(house, "") as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk")
        assert (await socket.hear())["code"] == endpoint.NO_TICKET
    monkeypatch.setattr(endpoint, "TICKET_S", 0.0)
    async with Client(house, "") as socket:
        assert (await socket.hear())["code"] == endpoint.NO_TICKET


async def test_a_reader_is_told_the_state_and_what_follows_and_may_resume(house):
    house.hub.publish("pnl", "pf_desk", {"portfolio": {"result": "1"}})
    async with Client(house) as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk", id="a")
        assert (await socket.hear_of("ok"))["id"] == "a"
        snap = await socket.hear_of("snap")
        assert snap["d"] == {"portfolio": {"result": "1"}}
        house.hub.publish("pnl", "pf_desk", {"portfolio": {"result": "2"}})
        delta = await socket.hear_of("delta")
        assert (delta["prev"], delta["seq"]) == (snap["seq"], snap["seq"] + 1)
    house.hub.publish("pnl", "pf_desk", {"portfolio": {"result": "3"}})
    house.tickets["back"] = WHO
    async with Client(house, "ticket=back") as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk", **{"from": {"epoch": delta["epoch"], "seq": delta["seq"]}})
        missed = await socket.hear_of("delta")
        assert (missed["prev"], missed["d"]) == (delta["seq"], {"portfolio": {"result": "3"}})
        socket.say(op="unsub", ch="pnl", key="pf_desk", id=1)
        await socket.hear_of("ok")
        house.hub.publish("pnl", "pf_desk", {"portfolio": {"result": "4"}})
        socket.say(op="ping", id="p")
        assert (await socket.hear())["id"] == "p", "nothing of the channel came before it"


@pytest.mark.parametrize(
    ("channel_name", "key"),
    [
        ("pnl", "pf_other"),
        ("pnl", "pf_none"),
        ("books", "one:BTCUSDC"),
        ("approvals", "other"),
        ("secrets", "acme"),
        ("alerts", "other"),
        ("alerts", "pf_other"),
        ("notices", "acme"),
    ],
)
async def test_anothers_channels_are_no_channels(house, channel_name, key):
    async with Client(house) as socket:
        socket.say(op="sub", ch=channel_name, key=key, id=1)
        refused = await socket.hear_of("error")
        assert (refused["code"], refused["id"]) == ("refused", 1)
    assert not any(True for _ in house.hub.channels(channel_name)), "asking made nothing"


@pytest.mark.parametrize(("name", "scope"), sorted(protocol.CHANNEL_SCOPES.items()))
async def test_each_channel_needs_its_scope(house, name, scope):
    keys = {"books": "one:ETHUSDC", "approvals": "acme"}
    house.standing = replace(WHO, scopes=frozenset(Scope) - {scope})
    house.tickets["good"] = house.standing
    async with Client(house) as socket:
        socket.say(op="sub", ch=name, key=keys.get(name, "pf_desk"))
        assert str(scope) in (await socket.hear_of("error"))["detail"]


async def test_alerts_of_the_organisation_are_for_callers_of_all_its_portfolios(house):
    async with Client(house) as socket:
        for key in ("acme", "pf_desk"):
            socket.say(op="sub", ch="alerts", key=key)
            await socket.hear_of("ok")
    house.tickets["good"] = house.standing = replace(WHO, portfolios=frozenset({"pf_desk"}))
    async with Client(house) as socket:
        socket.say(op="sub", ch="alerts", key="acme")
        assert "all portfolios" in (await socket.hear_of("error"))["detail"]
        socket.say(op="sub", ch="alerts", key="pf_desk")
        await socket.hear_of("ok")


async def test_what_is_taken_away_is_gone_within_a_second(house, monkeypatch):
    monkeypatch.setattr(endpoint, "STILL_S", 0.001)
    async with Client(house) as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk")
        socket.say(op="sub", ch="books", key="one:ETHUSDC")
        await socket.hear_of("snap")
        house.standing = replace(WHO, portfolios=frozenset())
        gone = await socket.hear_of("error")
        assert (gone["code"], "pf_desk" in gone["detail"]) == ("unsubscribed", True)
        house.standing = None
        while (message := await socket.hear())["t"] != "closed":
            pass
        assert message["code"] == endpoint.NOT_ALLOWED


async def test_when_it_cannot_be_told_who_may_be_here_nobody_may(house, monkeypatch):
    monkeypatch.setattr(endpoint, "STILL_S", 0.001)
    async with Client(house) as socket:
        await socket.hear_of("ready")
        house.broken = True
        assert (await socket.hear())["code"] == endpoint.NOT_ALLOWED


async def test_when_it_cannot_be_told_whose_what_is_nobody_stays_or_comes(house, monkeypatch):
    monkeypatch.setattr(endpoint, "STILL_S", 0.001)
    house.tickets["late"] = WHO
    async with Client(house) as socket:
        await socket.hear_of("ready")
        house.is_lost = True
        assert (await socket.hear())["code"] == endpoint.NOT_ALLOWED
    async with Client(house, "ticket=late") as socket:
        assert (await socket.hear())["code"] == endpoint.NO_TICKET


async def test_a_caller_stays_longer_by_a_ticket_of_its_own_and_not_by_anothers(house):
    house.tickets |= {"more": WHO, "wrong": replace(WHO, actor="key:k2")}
    async with Client(house) as socket:
        await socket.hear_of("ready")
        socket.say(op="auth", ticket="more", id=2)
        assert (await socket.hear_of("ready"))["id"] == 2
        socket.say(op="auth", ticket="wrong")
        assert (await socket.hear())["code"] == endpoint.NOT_ALLOWED


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"op":"dance"}', '{"op":"sub"}', '{"op":"sub","ch":1,"key":"x"}', '{"op":"ping","x":1}',
     '{"op":"sub","ch":"pnl","key":"pf_desk","from":{"seq":1}}', "[" * 3_000, '"' + "x" * 5_000 + '"'],
)  # fmt: skip
async def test_nonsense_is_answered_and_too_much_of_it_ends_it(house, text):
    async with Client(house) as socket:
        await socket.hear_of("ready")
        for _ in range(endpoint.NONSENSE_MAX):
            socket.say_text(text)
            assert (await socket.hear())["code"] == "invalid_message"
        socket.say_text(text)
        assert (await socket.hear())["code"] == endpoint.NONSENSE


async def test_who_asks_and_does_not_listen_is_closed(house, monkeypatch):
    monkeypatch.setattr(endpoint, "UNREAD_MAX", 5)
    async with Client(house) as socket:
        await socket.hear_of("ready")
        socket.takes.clear()
        for n in range(20):
            socket.say(op="ping", id=n)
        while (message := await socket.hear())["t"] != "closed":
            pass
        assert message["code"] == endpoint.TOO_SLOW


async def test_subscriptions_are_bounded(house, monkeypatch):
    monkeypatch.setattr(protocol, "SUBSCRIPTIONS_MAX", 1)
    async with Client(house) as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk")
        socket.say(op="sub", ch="orders", key="pf_desk")
        assert (await socket.hear_of("error"))["code"] == "too_many"


async def test_a_beat_says_where_each_subscription_stands(house, monkeypatch):
    monkeypatch.setattr(endpoint, "STILL_S", 0.001)
    async with Client(house) as socket:
        socket.say(op="sub", ch="pnl", key="pf_desk")
        snap = await socket.hear_of("snap")
        house.clock.advance(seconds=endpoint.BEAT_S)
        beat = await socket.hear_of("beat")
        assert beat["at"] == [["pnl", "pf_desk", snap["epoch"], snap["seq"]]]


async def test_a_slow_reader_of_orders_is_closed_and_holds_nobody_up(house, monkeypatch):
    monkeypatch.setattr(channel, "RING_MAX", 8)
    house.tickets["fast"] = WHO
    async with Client(house) as slow, Client(house, "ticket=fast") as fast:
        for socket in (slow, fast):
            socket.say(op="sub", ch="orders", key="pf_desk")
            await socket.hear_of("snap")
        slow.takes.clear()
        for n in range(20):
            house.hub.publish("orders", "pf_desk", {"o": {"n": n}})
            assert (await fast.hear_of("delta"))["d"] == {"o": {"n": n}}
        slow.takes.set()
        while (message := await slow.hear())["t"] != "closed":
            pass
        assert message["code"] == endpoint.TOO_SLOW


async def test_a_reader_that_takes_nothing_at_all_is_closed(house, monkeypatch):
    monkeypatch.setattr(endpoint, "STALL_S", 0.0)
    monkeypatch.setattr(endpoint, "STILL_S", 0.01)
    async with Client(house) as socket:
        await socket.hear_of("ready")
        socket.takes.clear()
        socket.say(op="ping")
        assert (await socket.hear())["code"] == endpoint.TOO_SLOW
