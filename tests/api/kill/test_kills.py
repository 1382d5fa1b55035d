"""The kill switch: at once and by one, of what the caller owns; released by two, and never what another press holds."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from api.custody.tables import VaultRow
from api.kill.switch import KillSwitch
from api.portfolios.directory import assign, create
from custody.audit import list_audit
from custody.freeze import standing
from domain import InputError, VenueUnavailable
from runtime.control import serve_control
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application

VENUES = {"mm": ["binance"], "arb": ["binance", "okx"], "house": ["kraken"]}
ALICE, BOB = replace(ANYBODY, user="usr_alice"), replace(ANYBODY, user="usr_bob")


class Engine:
    """What an engine is told, and how far each strategy is stopped by it."""

    def __init__(self):
        self.told = []
        self.stages = {}
        self.rules = {}
        self.refuses = ""
        self.before = {}
        """What happens, once, when a command has come and is not carried out yet."""

    def describe(self, name):
        stage = self.stages.get(name, self.stages.get("", "running"))
        about = {"id": name, "kind": "pure-market-making", "instruments": [f"{VENUES[name][0]}:ETHUSDC"]}
        about |= {"stopped_by": self.rules.get(name, "operator" if stage != "running" else None)}
        return about | {"venues": VENUES[name], "stage": stage, "parameters": {"qty": "1"}}

    async def handle(self, request):
        command = request.pop("command")
        if (meanwhile := self.before.pop(command, None)) is not None:
            await meanwhile()
        if command == "strategies":
            return {"strategies": [self.describe(name) for name in VENUES]}
        if command == "reload":
            self.told.append((command, request["strategy"], request["by"]))
            return {"strategy": request["strategy"], "changed": {"qty": ["1", "2"]}, "applied": not request["dry_run"]}
        if command == "retire":
            return {"strategy": request["strategy"], "in_later_runs": True}
        self.told.append((command, request.get("strategy", ""), request.get("stage", "")))
        if self.refuses:
            raise InputError(self.refuses)
        if command == "resume" and request.get("run_alone"):
            self.stages.pop("", None)
        elif command == "resume" and not request.get("strategy"):
            self.stages.clear()
        elif command == "resume":
            self.stages.pop(request["strategy"], None)
        else:
            self.stages[request.get("strategy", "")] = request.get("stage", "cancel")
        return {}


class Desk:
    """Acme has two strategies in two portfolios, the house the rest."""

    def __init__(self, services, folder):
        self.services = services
        self.engine = Engine()
        self.control = folder / "nobody.sock"
        self.gate = OpenGate(ALICE)
        self.client = Client(application(services, self.gate))
        with services.database.transaction() as session:
            self.mm = create(session, ANYBODY.organisation, "mm", 1).id
            arb = create(session, ANYBODY.organisation, "arb", 1).id
            create(session, "org_house", "main", 1, has_rest=True)
            assign(session, "mm", self.mm)
            assign(session, "arb", arb)

    @asynccontextmanager
    async def running(self):
        async with serve_control(self.control, self.engine.handle):
            yield

    async def ask(self, method, path, body=None):
        answer = await self.client.full(method, path, json.dumps(body).encode() if body else b"", headers=JSON)
        return answer.status, json.loads(answer.body)

    async def press(self, **body):
        return await self.ask("POST", "/v1/kills", {"reason": "drill", **body})

    async def release(self, kill, who=ALICE):
        self.gate.principal = who
        return await self.ask("POST", f"/v1/kills/{kill}/releases", {"reason": "mended"})


HOUSE = replace(ANYBODY, organisation="org_house", user="usr_house")


@pytest.fixture
def desk(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield Desk(services, tmp_path)


@pytest.mark.parametrize(
    ("body", "stopped"),
    [
        ({}, ["arb", "mm"]),
        ({"target": "strategy", "name": "mm"}, ["mm"]),
        ({"target": "venue", "name": "okx"}, ["arb"]),
        ({"target": "venue", "name": "binance"}, ["arb", "mm"]),
    ],
)
async def test_a_tenant_stops_its_own_and_nothing_else(desk, body, stopped):
    async with desk.running():
        status, kill = await desk.press(**body)
        assert (status, kill["engine"], kill["recorded"], sorted(kill["strategies"])) == (201, "done", True, stopped)
    assert desk.engine.stages == dict.fromkeys(stopped, "cancel")


async def test_a_portfolio_is_its_strategies_and_flatten_closes_them(desk):
    async with desk.running():
        assert (await desk.press(target="portfolio", name=desk.mm, mode="flatten"))[1]["strategies"] == ["mm"]
    assert desk.engine.told == [("stage", "mm", "flatten")]


async def test_the_house_stops_the_run_and_freezes_custody(desk):
    desk.gate.principal = HOUSE
    async with desk.running():
        whole = (await desk.press())[1]
        assert (whole["strategies"], whole["is_whole"]) == ([], True)
        status, kill = await desk.press(mode="freeze")
        assert (status, kill["frozen"]) == (201, True)
    assert desk.engine.told == [("kill", "", ""), ("stage", "", "freeze")]
    with desk.services.database.snapshot() as session:
        assert [freeze.scope for freeze in standing(session)] == ["all"]


async def test_the_house_stops_everybody_at_a_venue_and_freezes_what_would_leave_it(desk):
    desk.gate.principal = HOUSE
    async with desk.running():
        kill = (await desk.press(target="venue", name="binance", mode="freeze"))[1]
        assert (sorted(kill["strategies"]), kill["is_whole"], kill["frozen"]) == (["arb", "mm"], False, True)
        assert desk.engine.stages == {"mm": "cancel", "arb": "cancel"}, "a freeze of the engine's is the whole run's"
        assert (await desk.press(target="venue", name="bitfinex"))[0] == 404
        # Nothing trades there, and its withdrawals can be frozen all the same.
        assert (await desk.press(target="venue", name="bitfinex", mode="freeze"))[1]["frozen"] is True
        assert (await desk.press(target="portfolio", name=desk.mm, mode="freeze"))[0] == 404
        desk.gate.principal = ALICE
        assert (await desk.ask("GET", "/v1/kills"))[1]["data"] == []
    with desk.services.database.snapshot() as session:
        assert [freeze.scope for freeze in standing(session)] == ["venue/binance", "venue/bitfinex"]


async def test_a_tenant_freezes_its_own_vaults_and_no_other(desk):
    with desk.services.database.transaction() as session:
        session.add(VaultRow(name="acme-hot", organisation=ANYBODY.organisation, changed_ns=1))
        session.add(VaultRow(name="other-hot", organisation="org_other", changed_ns=1))
    async with desk.running():
        kill = (await desk.press(mode="freeze"))[1]
        assert (sorted(kill["strategies"]), kill["frozen"]) == (["arb", "mm"], True)
        assert desk.engine.stages == {"mm": "cancel", "arb": "cancel"}
        desk.gate.principal = replace(ALICE, portfolios=frozenset({desk.mm}))
        assert (await desk.press(mode="freeze"))[0] == 403
    with desk.services.database.snapshot() as session:
        assert [freeze.scope for freeze in standing(session)] == ["vault/acme-hot"]


REFUSED = [
    ({"mode": "freeze"}, 403),
    ({"target": "strategy", "name": "mm", "mode": "freeze"}, 403),
    ({"target": "venue", "name": "binance", "mode": "freeze"}, 403),
    ({"target": "strategy", "name": "house"}, 404),
    ({"target": "strategy", "name": "nobody"}, 404),
    ({"target": "portfolio", "name": "pf_0000000000000000"}, 404),
    ({"target": "venue", "name": "kraken"}, 404),
    ({"target": "strategy"}, 422),
    ({"name": "mm"}, 422),
    ({"target": "world", "name": "x"}, 422),
    ({"mode": "explode"}, 422),
    ({"reason": ""}, 422),
]


async def test_what_is_not_ones_own_or_cannot_be_stops_nothing(desk):
    async with desk.running():
        for body, status in REFUSED:
            assert (body, (await desk.press(**body))[0]) == (body, status)
            assert desk.engine.told == []


async def test_a_caller_of_some_portfolios_stops_those(desk):
    desk.gate.principal = replace(ALICE, portfolios=frozenset({desk.mm}))
    async with desk.running():
        assert (await desk.press())[1]["strategies"] == ["mm"]
        assert (await desk.press(target="strategy", name="arb"))[0] == 404


async def test_a_press_waits_for_no_database_and_says_that_it_is_not_written(desk, monkeypatch):
    await desk.services.directory.refresh()

    async def away(_work):
        raise VenueUnavailable("gone")

    monkeypatch.setattr(desk.services.database, "run", away)
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]
    assert (kill["engine"], kill["recorded"]) == ("done", False)
    assert desk.engine.stages == {"mm": "cancel"}


async def test_an_engine_that_does_not_stop_is_told_as_such(desk):
    desk.engine.refuses = "no strategy mm"
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]
    assert kill["engine"] == "no strategy mm"
    assert (await desk.ask("GET", "/v1/kills"))[1]["data"][0]["id"] == kill["id"]


async def test_a_release_takes_two_people_and_each_once(desk):
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        first = (await desk.release(kill))[1]
        assert (first["released_at"], first["released_by"]) == (None, ["usr_alice"])
        assert (await desk.release(kill))[1]["code"] == "conflict"
        assert desk.engine.stages == {"mm": "cancel"}
        ended = (await desk.release(kill, BOB))[1]
        assert (bool(ended["released_at"]), ended["released_by"]) == (True, ["usr_alice", "usr_bob"])
        assert desk.engine.stages == {}
        assert (await desk.release(kill, BOB))[1]["code"] == "conflict"
        # A key that nobody made, or another organisation's person, is nobody here.
        again = (await desk.press(target="strategy", name="mm"))[1]["id"]
        assert (await desk.release(again, replace(ALICE, user=None)))[0] == 403
        assert (await desk.release(again, HOUSE))[0] == 404
        assert (await desk.release("kill_0000000000000000"))[0] == 404


async def test_a_caller_of_some_portfolios_neither_sees_nor_releases_a_press_of_others(desk):
    async with desk.running():
        kill = (await desk.press())[1]["id"]
        await desk.release(kill, BOB)
        some = replace(ALICE, portfolios=frozenset({desk.mm}))
        assert (await desk.release(kill, some))[0] == 404
        assert (await desk.ask("GET", "/v1/kills"))[1]["data"] == []
        assert len(desk.engine.stages) == 2


async def test_two_people_at_once_are_two_people(desk):
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        await desk.release(kill)
        answers = await asyncio.gather(desk.release(kill, BOB), desk.release(kill, BOB))
        assert sorted(status for status, _ in answers) in ([201, 201], [201, 409])
    assert desk.engine.stages == {}
    with desk.services.database.snapshot() as session:
        assert [record.kind for record in list_audit(session)].count("kill.ended") == 1


async def test_what_another_press_holds_stays_stopped(desk):
    async with desk.running():
        first = (await desk.press(target="venue", name="binance"))[1]["id"]
        await desk.press(target="strategy", name="mm")
        await desk.release(first)
        await desk.release(first, BOB)
        assert desk.engine.stages == {"mm": "cancel"}


@pytest.mark.parametrize(("who", "body"), [(ALICE, {"target": "strategy", "name": "mm"}), (HOUSE, {})])
async def test_a_press_that_comes_while_another_is_released_wins(desk, who, body):
    desk.gate.principal = who
    async with desk.running():
        kill, pressed = (await desk.press(**body))[1]["id"], []
        stages = dict(desk.engine.stages)

        async def press():
            pressed.append((await desk.press(**body))[1])

        await desk.release(kill, who)
        desk.engine.before["resume"] = press
        ended = (await desk.release(kill, replace(who, user="usr_other")))[1]
        assert ended["released_at"]
        assert [(one["engine"], one["recorded"]) for one in pressed] == [("done", True)]
        assert desk.engine.stages == stages, "the engine heard the press first, and then that it may go on"


async def test_a_press_that_is_written_after_a_release_that_the_engine_heard_later_wins(desk, monkeypatch):
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        await desk.release(kill)
        stopped, may_write, write = asyncio.Event(), asyncio.Event(), KillSwitch._write

        async def late(self, *about):
            await may_write.wait()
            return await write(self, *about)

        async def hear():
            stopped.set()

        monkeypatch.setattr(KillSwitch, "_write", late)
        desk.engine.before["stage"] = hear
        pressing = asyncio.create_task(desk.press(target="strategy", name="mm"))
        await stopped.wait()
        assert (await desk.release(kill, BOB))[1]["released_at"]
        assert desk.engine.stages == {}, "nobody can have known better"
        may_write.set()
        assert (await pressing)[1]["engine"] == "done"
        assert desk.engine.stages == {"mm": "cancel"}


async def test_the_run_goes_on_without_what_a_tenant_holds(desk):
    desk.engine.stages = {}
    async with desk.running():
        await desk.press(target="strategy", name="mm")
        desk.gate.principal = HOUSE
        whole = (await desk.press())[1]["id"]
        await desk.release(whole, HOUSE)
        await desk.release(whole, replace(HOUSE, user="usr_other"))
        assert desk.engine.stages == {"mm": "cancel"}


async def test_the_run_goes_on_without_what_a_limit_or_a_pause_stopped(desk):
    desk.gate.principal = HOUSE
    async with desk.running():
        whole = (await desk.press())[1]["id"]
        desk.engine.stages |= {"mm": "flatten", "house": "cancel"}
        await desk.release(whole, HOUSE)
        await desk.release(whole, replace(HOUSE, user="usr_other"))
        assert desk.engine.stages == {"mm": "flatten", "house": "cancel"}


async def test_a_tenant_of_whom_nothing_runs_stops_and_releases_nothing(desk):
    desk.gate.principal = replace(ALICE, organisation="org_empty")
    async with desk.running():
        assert (await desk.press())[0] == 404
        assert (await desk.ask("GET", "/v1/kills"))[1]["data"] == []
    assert desk.engine.told == []


async def test_an_engine_that_is_away_leaves_the_release_open(desk):
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        await desk.release(kill)
    assert (await desk.release(kill, BOB))[0] == 503
    async with desk.running():
        assert (await desk.release(kill, BOB))[1]["released_at"]
    assert desk.engine.stages == {}
