"""Which components answer, as a balancer, an orchestrator and the house are told it."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.health.board import Board, Component, State, look_at
from api.health.checks import (
    PULSE_S,
    WORKER,
    engine_check,
    redis_check,
    socket_check,
    venues_check,
    worker_check,
)
from api.health.tables import note_pulse
from api.portfolios.directory import create
from cli.data_dir import DataDir
from cli.probing import components_of, probe
from cli.settings import Settings
from domain import InvariantError, VenueUnavailable
from runtime import ManualClock
from runtime.control import serve_control
from runtime.database import Database
from tests.api.lab import ANYBODY, Client, OpenGate, api_services, application

VENUE = {"id": "one", "failure": None, "is_connected": True}


class Engine:
    """What the engine's process says of itself."""

    def __init__(self) -> None:
        self.status = {"state": "trading", "halted": None}
        self.venues = [VENUE]

    async def handle(self, request):
        return self.status if request["command"] == "status" else {"venues": self.venues}


@pytest.fixture
def services(tmp_path):
    with api_services(tmp_path, control=tmp_path / "engine.sock") as found:
        with found.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
        yield found


@pytest.fixture
def client(services):
    return Client(application(services, OpenGate()))


@pytest.fixture
def redis_url() -> str:
    url = os.environ.get("CAPSTAN_TEST_REDIS_URL")
    if not url:
        pytest.skip("CAPSTAN_TEST_REDIS_URL is not set")
    return url


def beat(services) -> None:
    with services.database.transaction() as session:
        note_pulse(session, WORKER, services.clock.now_ns())


async def get(client, path):
    status, _, body = await client.ask("GET", path)
    return status, json.loads(body)


async def test_ready_is_who_has_what_it_cannot_do_without(client, services, tmp_path):
    assert await get(client, "/healthz") == (200, {"status": "ok"})
    down = {"database": "ok", "engine": "down", "worker": "down", "venues": "down"}
    assert await get(client, "/readyz") == (200, {"status": "ready", "components": down}), "kill and books are there"
    assert await get(client, "/readyz/engine") == (503, {"status": "not_ready", "components": {"engine": "down"}})
    engine = Engine()
    async with serve_control(tmp_path / "engine.sock", engine.handle):
        beat(services)
        services.clock.advance(seconds=1)
        fine = dict.fromkeys(down, "ok")
        assert await get(client, "/readyz") == (200, {"status": "ready", "components": fine})
        for component in fine:
            assert (await get(client, f"/readyz/{component}"))[0] == 200
    assert (await get(client, "/readyz/nothing"))[0] == 404


async def test_without_its_database_a_process_is_not_ready_and_alive(client, services, monkeypatch):
    async def lost(_work):
        raise VenueUnavailable("the database at sqlite:///secret/place is gone")

    monkeypatch.setattr(services.database, "read", lost)
    status, told = await get(client, "/readyz")
    assert (status, told["status"], told["components"]["database"]) == (503, "not_ready", "down")
    assert "secret" not in json.dumps(told)
    assert (await get(client, "/healthz"))[0] == 200


async def test_a_process_that_is_about_to_end_says_so(client, services):
    client.app.state.is_draining = True
    try:
        status, told = await get(client, "/readyz")
        assert (status, told["status"], told["components"]["database"]) == (503, "draining", "ok")
        assert (await get(client, "/v1/instruments"))[0] == 503
    finally:
        client.app.state.is_draining = False


async def test_what_is_wrong_is_for_the_house(client, services):
    status, told = await get(client, "/v1/components")
    found = {one["name"]: one for one in told["data"]}
    assert (status, found["database"]["detail"], found["database"]["is_required"]) == (200, "sqlite", True)
    assert "no process listens" in found["engine"]["detail"]
    assert found["worker"]["detail"] == "no worker was seen yet"
    tenant = Client(application(services, OpenGate(replace(ANYBODY, organisation="org_tenant"))))
    assert (await get(tenant, "/v1/components"))[0] == 403


async def test_a_worker_is_there_while_its_pulse_is(services):
    check = worker_check(services.database, services.clock.now_ns)
    with pytest.raises(VenueUnavailable, match="no worker was seen"):
        await check()
    beat(services)
    services.clock.advance(seconds=PULSE_S * 4)
    assert await check() == "seen 60 s ago"
    services.clock.advance(seconds=1)
    with pytest.raises(VenueUnavailable, match="61 s ago"):
        await check()
    beat(services)
    assert await check() == "seen 0 s ago"


async def test_an_engine_that_was_stopped_is_there_and_one_that_starts_is_not():
    engine = Engine()

    async def ask(command):
        return await engine.handle({"command": command})

    assert await engine_check(ask)() == "trading"
    engine.status = {"state": "halted", "halted": "killed: drill"}
    assert await engine_check(ask)() == "killed: drill"
    engine.status = {"state": "starting", "halted": None}
    with pytest.raises(VenueUnavailable):
        await engine_check(ask)()
    engine.venues = [VENUE, VENUE | {"id": "two", "is_connected": False}, VENUE | {"id": "three", "failure": "ended"}]
    with pytest.raises(VenueUnavailable, match="two, three"):
        await venues_check(ask)()


async def test_sockets_and_redis_are_asked_for_real(tmp_path, redis_url):
    assert await redis_check(redis_url)() == "answers"
    with pytest.raises(VenueUnavailable) as told:
        await redis_check("redis://:sesame@127.0.0.1:1/0")()
    assert "sesame" not in str(told.value)
    with pytest.raises(VenueUnavailable):
        await socket_check(tmp_path / "signer.sock")()
    async with serve_control(tmp_path / "signer.sock", Engine().handle):
        assert await socket_check(tmp_path / "signer.sock")() == "listens"


async def test_one_that_hangs_holds_up_no_other_and_a_bug_is_a_component_that_is_down(monkeypatch):
    monkeypatch.setattr("api.health.board.CHECK_S", 0.05)

    async def hang():
        await asyncio.Event().wait()

    async def broken():
        raise InvariantError("it does not add up")

    async def fine():
        return "fine"

    async def strange():
        return {}["state"]

    kinds = {"hangs": hang, "broken": broken, "fine": fine, "strange": strange}
    found = await look_at([Component(name, check) for name, check in kinds.items()], ManualClock(0).now_ns)
    assert [one.state for one in found] == [State.DOWN, State.DOWN, State.OK, State.DOWN]
    assert found[0].detail.startswith("no answer within")


async def test_asking_often_looks_once_a_second():
    looked, clock = [], ManualClock(10**18)

    async def check():
        looked.append(1)
        return ""

    board = Board([Component("one", check)], clock.now_ns)
    await asyncio.gather(*(board.look() for _ in range(50)))
    assert len(looked) == 1
    clock.advance(seconds=1)
    await board.look()
    assert len(looked) == 2


async def test_what_the_settings_name_is_looked_at_by_the_api_and_by_the_worker(tmp_path: Path, redis_url: str) -> None:
    settings = Settings.model_validate(
        {
            "venues": [{"id": "one", "exchange": "binance", "instruments": ["ETHUSDC"]}],
            "api": {"redis": "redis://127.0.0.1:1/0"},
            "tasks": {"broker": redis_url},
            "chain": {"chain_id": 1337, "endpoints": ["http://127.0.0.1:1"], "address_book": "none.json"},
        }
    )
    found = await probe(settings, DataDir(tmp_path))
    assert list(found) == ["redis", "broker", "chain"]
    assert [name for name, problem in found.items() if not problem] == ["broker"]
    database = Database.at(tmp_path / "books.db")
    try:
        components = components_of(settings, DataDir(tmp_path), database, lambda: 1)
    finally:
        database.dispose()
    assert [one.name for one in components] == ["database", "engine", "worker", "venues", *found]
    assert {one.name for one in components if one.is_required} == {"database", "redis"}
