"""The API's copy of the engine: what each portfolio's readers are told, and what is told when the engine goes."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.mirror import Mirror
from api.portfolios.directory import Portfolio
from api.streams.hub import Hub
from cli.engine_followers import Followers
from domain import OrderState, VenueUnavailable
from runtime import ManualClock
from runtime.control import serve_control
from tests.api.streams.client import View
from tests.engine.feed.test_feed import Lab


class Fixed:
    """A directory of two portfolios."""

    def __init__(self):
        self.owners = {"desk": Portfolio("pf_desk", "acme", "desk", frozenset({"desk"}), False)}
        self.rest = Portfolio("pf_house", "house", "main", frozenset(), True)

    async def refresh(self):
        pass

    def of_strategy(self, strategy):
        return self.owners.get(strategy)


@pytest.fixture
def lab():
    lab = Lab()
    lab.book(299_990, 300_010)
    return lab


@pytest.fixture
def hub():
    return Hub(ManualClock(10**18).now_ns)


@pytest.fixture
def mirror(hub, tmp_path):
    return Mirror(tmp_path / "e.sock", hub, Fixed())


def reader(hub, name, key="pf_desk"):
    session, view = hub.open(), View()
    hub.subscribe(session, name, key)

    def read():
        for message in session.take():
            view.take(message)
        return view

    return read


def pass_on(lab, mirror):
    changes, events = json.loads(json.dumps(lab.feed.take()))
    mirror.take({"changes": changes, "events": events})


def begin(lab, mirror):
    lab.feed.take()
    mirror.begin(json.loads(json.dumps(lab.feed.snapshot())))


def test_readers_of_a_portfolio_are_told_its_orders_trades_and_positions(lab, hub, mirror):
    begin(lab, mirror)
    orders, fills, positions = (reader(hub, name) for name in ("orders", "fills", "positions"))
    order = lab.place()
    pass_on(lab, mirror)
    assert orders().state[order.client_order_id]["state"] == "pending"
    lab.fill(order, 200)
    lab.report(order, OrderState.CANCELED)
    pass_on(lab, mirror)
    ended = orders()
    assert ended.state == {}
    assert ended.events[order.client_order_id]["state"] == "canceled", "its last word came before it went"
    assert list(fills().events) == ["one:ETHUSDC/1"]
    assert positions().state["desk/one:ETHUSDC"]["qty"] == "0.2"


def test_what_is_nobodys_reaches_nobody(lab, hub, mirror):
    mirror._directory.owners.clear()
    begin(lab, mirror)
    read = [reader(hub, name) for name in ("orders", "positions", "fills", "pnl")]
    lab.fill(lab.place(), 200)
    pass_on(lab, mirror)
    mirror.publish_pnl()
    assert all(view().state == {} for view in read)


def test_results_are_told_by_strategy_instrument_and_portfolio(lab, hub, mirror):
    begin(lab, mirror)
    lab.fill(lab.place(), 200)
    pass_on(lab, mirror)
    mirror.publish_pnl()
    state = reader(hub, "pnl")().state
    assert set(state) == {"strategy:desk", "instrument:desk/one:ETHUSDC", "portfolio"}
    assert state["portfolio"] == {"portfolio": "pf_desk", "result": state["strategy:desk"]["result"]}
    assert state["instrument:desk/one:ETHUSDC"]["currency"] == "USDC"


def test_a_new_engine_process_leaves_nothing_old_behind(lab, hub, mirror):
    begin(lab, mirror)
    orders = reader(hub, "orders")
    lab.place()
    pass_on(lab, mirror)
    assert len(orders().state) == 1
    fresh = Lab()
    fresh.book(299_990, 300_010)
    begin(fresh, mirror)
    assert orders().state == {}


def test_without_an_engine_books_are_none_and_the_rest_is_old(lab, hub, mirror):
    begin(lab, mirror)
    books = reader(hub, "books", "one:ETHUSDC")
    assert books().state["is_valid"] is True
    mirror.lose()
    assert books().state == {"instrument": "one:ETHUSDC", "is_valid": False, "bids": [], "asks": []}
    assert not mirror.is_live
    assert mirror.state("books")["one:ETHUSDC"]["is_valid"] is False


def test_alerts_about_all_tenants_are_the_houses_a_stage_is_everybodys_and_the_rest_its_owners(lab, hub, mirror):
    begin(lab, mirror)
    tenant, house = reader(hub, "notices"), reader(hub, "notices", "pf_house")
    for kind, strategy in (
        ("account.differs", ""), ("engine.stage", ""), ("risk.rejected", "desk"), ("risk.rejected", "somebody"),
    ):  # fmt: skip
        lab.feed._alert("error", kind, strategy, {"finding": "balance"})
    pass_on(lab, mirror)
    assert [alert["kind"] for alert in tenant().events.values()] == ["engine.stage", "risk.rejected"]
    assert [alert["kind"] for alert in house().events.values()] == ["account.differs", "engine.stage"]


async def test_results_are_told_again_once_it_is_known_whose_a_strategy_is(lab, hub, mirror, monkeypatch):
    monkeypatch.setattr("api.mirror.PNL_EVERY_S", 0.001)
    begin(lab, mirror)
    asked = 0

    async def away():
        nonlocal asked
        asked += 1
        if asked < 3:
            raise VenueUnavailable("no database")

    mirror._directory.refresh = away
    telling = asyncio.create_task(mirror._tell_pnl())
    async with asyncio.timeout(60):
        while not hub.channel("pnl", "pf_desk").state:
            assert not telling.done()
            await asyncio.sleep(0)
    assert asked >= 3
    telling.cancel()


async def test_a_copy_whose_follower_failed_is_not_taken_for_new(lab, mirror, monkeypatch):
    begin(lab, mirror)

    async def broken():
        raise KeyError("a bug")

    monkeypatch.setattr(mirror, "_follow", broken)
    with pytest.raises(BaseExceptionGroup):
        await mirror.run()
    assert not mirror.is_live
    assert mirror.state("books")["one:ETHUSDC"]["is_valid"] is False


async def test_it_follows_an_engine_that_comes_goes_and_comes_again(lab, hub, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("api.mirror.RETRY_S", (0.001, 0.001))
    lab.feed.take()
    following = asyncio.create_task(mirror._follow())
    for _ in range(2):
        followers = Followers(lab.feed)
        async with serve_control(tmp_path / "e.sock", _nothing, streams={"follow": followers.follow}):
            async with asyncio.timeout(60):
                await mirror.live.wait()
                mirror.live.clear()
            assert mirror.state("books")["one:ETHUSDC"]["is_valid"]
            for queue in followers._queues:
                queue.put_nowait(None)
    following.cancel()


async def _nothing(_request):
    return {}
