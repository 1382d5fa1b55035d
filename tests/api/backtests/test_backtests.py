"""Backtests over HTTP: run by the worker, followed, cancelled, taken up after a death; each organisation's alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlmodel import select

from api.backtests.queue import ATTEMPTS_MAX, DONE, Outcome, Queue
from api.backtests.runner import Runner
from api.backtests.settings import BacktestSettings
from api.backtests.tables import BacktestRow
from api.backtests.watch import ENDED_SHOWN_NS, Watch
from runtime.database import Database
from runtime.processes import is_alive
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application
from tests.engine.backtest.test_admission import CONFIG

LONG = CONFIG.replace("seconds = 60", "seconds = 80000")


class House:
    """The application, and a worker's run."""

    def __init__(self, services, folder):
        self.services, self.folder, self.keys = services, folder, 0
        self.gate = OpenGate()
        self.client = Client(application(services, self.gate))

    async def ask(self, method, path="", body=None, **headers):
        content = b"" if body is None else json.dumps(body).encode()
        answer = await self.client.full(method, f"/v1/backtests{path}", content, headers=JSON | headers)
        is_json = answer.body and answer.headers["content-type"].endswith("json")
        return answer.status, json.loads(answer.body) if is_json else answer

    async def post(self, config=CONFIG, key=None, **more):
        self.keys += 1
        key = key or f"key-{self.keys:08}"
        return await self.ask("POST", "", {"config": config, **more}, **{"idempotency-key": key})

    async def made(self, config=CONFIG, **more):
        status, made = await self.post(config, **more)
        assert status == 201, made
        return made["id"]

    def as_organisation(self, name):
        self.gate.principal = replace(ANYBODY, organisation=name)

    def queue(self, kind=Queue, slots=1):
        return kind(self.services.database, self.services.clock.now_ns, slots)

    def run(self, queue=None, **settings):
        runner = Runner(
            queue or self.queue(), BacktestSettings(**settings), self.folder, self.folder / "work", lambda: False
        )
        return runner.run(0)

    async def state(self, backtest):
        return (await self.ask("GET", f"/{backtest}"))[1]["state"]


@pytest.fixture
def house(tmp_path):
    with api_services(tmp_path) as services:
        yield House(services, tmp_path)


def test_to_look_for_one_waits_for_nobody_who_writes(house):
    with house.services.database.transaction() as session:
        session.exec(select(BacktestRow.id)).all()
        assert house.queue().claim(0) is None


async def test_one_is_run_by_the_worker_and_what_came_of_it_is_there_in_full(house):
    status, made = await house.post(key="the-same-key")
    assert (status, made["state"], made["name"], made["progress"]) == (201, "queued", "small", "0.000")
    assert (await house.post(key="the-same-key"))[1] == made
    assert (await house.post(key="the-same-key", name="other"))[1]["code"] == "idempotency_key_reused"
    with pytest.MonkeyPatch.context() as later:
        later.setattr(house.services.backtests, "_slots", 0)
        assert (await house.post())[1]["rule"] == "backtests-off"
        assert (await house.post(key="the-same-key")) == (201, made), "what was taken is answered as it was"
    assert (await house.ask("GET", f"/{made['id']}/curve"))[0] == 404

    assert house.run()
    assert not house.run()
    _, found = await house.ask("GET", f"/{made['id']}")
    assert (found["state"], found["attempts"], found["error"], found["progress"]) == ("done", 1, "", "1.000")
    assert (found["config"], found["format"]) == (CONFIG, "toml")
    result = found["result"]
    assert result["fills"] > 0
    assert isinstance(result["pnl"]["net"], str)
    assert float not in {type(value) for value in flattened(result)}

    points, cursor = [], ""
    while cursor is not None:
        _, page = await house.ask("GET", f"/{made['id']}/curve?limit=300{cursor and '&cursor=' + cursor}")
        points += page["data"]
        cursor = page["next"]
    assert 300 < len(points) < 2_100
    times = [datetime.fromisoformat(point["at"]) for point in points]
    assert times == sorted(times)
    assert float(points[-1]["net"]) == pytest.approx(float(result["pnl"]["net"]), abs=1e-6)

    _, page = await house.ask("GET", f"/{made['id']}/report")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert b"<h1>Backtest small</h1>" in page.body
    assert len(page.body) > 4_000_000  # The charting library is back in its place.

    assert (await house.ask("DELETE", f"/{made['id']}"))[0] == 204
    assert (await house.ask("GET", f"/{made['id']}"))[0] == 404


async def test_what_cannot_be_or_is_not_for_everybody_is_refused_before_it_is_written(house):
    status, said = await house.post(CONFIG.replace("seconds", "secons"))
    assert (status, said["hint"]) == (422, "did you mean seconds?")
    status, said = await house.post(CONFIG.replace('"quoting"', '"python"'))
    assert status == 422
    status, said = await house.post(CONFIG.replace("seconds = 60", "seconds = 60\n[[data]]\nkind = 'store'\n"
                                                   "instrument = 'sim:BTCUSDT'\npath = '../api.key'\n"))  # fmt: skip
    assert (status, said["rule"]) == (403, "backtest-data")
    assert (await house.ask("GET"))[1] == {"data": [], "next": None}


async def test_what_fails_while_it_runs_says_why_and_what_it_may_use_is_bounded(house):
    failing = await house.made(CONFIG.replace('position_max = "0.1"', 'position_max = "0.0001"'))
    greedy = await house.made(LONG)
    assert house.run()
    _, found = await house.ask("GET", f"/{failing}")
    assert (found["state"], found["result"], found["attempts"]) == ("failed", None, 1)
    assert "at least one lot" in found["error"]
    assert house.run(cpu_s_max=1)
    _, found = await house.ask("GET", f"/{greedy}")
    assert (found["state"], found["error"]) == ("failed", "it takes more than 1 s of processor time")


async def test_one_that_runs_is_stopped_where_it_is_and_one_that_waits_never_begins(house):
    running, waiting = await house.made(LONG), await house.made(LONG)
    gate = house

    class Interrupted(Queue):
        """Somebody cancels as soon as it is running."""

        def progress(self, backtest, part, permille):
            with gate.services.database.transaction() as session:
                row = session.exec(select(BacktestRow).where(BacktestRow.id == backtest)).one()
                row.cancel_asked = True
            return super().progress(backtest, part, permille)

    assert (await house.ask("POST", f"/{waiting}/cancel"))[1]["state"] == "cancelled"
    assert (await house.ask("DELETE", f"/{running}"))[1]["code"] == "conflict"
    assert house.run(house.queue(Interrupted))
    assert await house.state(running) == "cancelled"
    assert not house.run()
    assert (await house.ask("POST", f"/{running}/cancel"))[1]["state"] == "cancelled"


def test_after_a_killed_worker_it_begins_anew_and_its_process_died_with_it(tmp_path):
    with api_services(tmp_path) as services:
        house = House(services, tmp_path)
        backtest = asyncio.run(house.made(LONG))
        pid = os.fork()
        if pid == 0:
            try:
                queue = Queue(Database.at(tmp_path / "api.db"), time.time_ns, 1)
                Runner(queue, BacktestSettings(), tmp_path, tmp_path / "work", lambda: False).run(0)
            finally:
                os._exit(0)
        deadline = time.monotonic() + 150
        while not (children := children_of(pid)):
            assert time.monotonic() < deadline
            time.sleep(0.02)  # Another process starts; there is nothing to wait on.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while any(is_alive(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert asyncio.run(house.state(backtest)) == "running"
        assert house.queue().claim(0).id == backtest
        assert asyncio.run(house.ask("GET", f"/{backtest}"))[1]["attempts"] == 2


@pytest.fixture
def either(database_url, tmp_path):
    """The same over SQLite and over PostgreSQL."""
    with api_services(tmp_path, url=database_url) as services:
        yield House(services, tmp_path)


async def test_turns_go_round_the_organisations_and_three_deaths_are_enough(either):
    house, ids = either, []
    for organisation in ("org_a", "org_a", "org_a", "org_b"):
        house.as_organisation(organisation)
        ids.append(await house.made())
    queue = house.queue(slots=2)
    order = []
    for _ in ids:
        house.services.clock.advance(seconds=1)
        claimed = queue.claim(0)
        order.append(claimed.id)
        queue.finish(claimed.id, Outcome(DONE, result="{}", curve="[]"))
    assert order == [ids[0], ids[3], ids[1], ids[2]]
    assert queue.claim(0) is None

    house.as_organisation("org_a")
    poison = await house.made()
    for _ in range(ATTEMPTS_MAX):
        assert queue.claim(1).id == poison
        assert queue.claim(0) is None  # What another slot has is its own.
    assert queue.claim(1) is None
    _, found = await house.ask("GET", f"/{poison}")
    assert (found["state"], found["error"]) == ("failed", "the worker died 3 times over it")

    moved = await house.made()
    assert queue.claim(1).id == moved
    queue.give_back(moved)  # A worker that stops does not count.
    assert queue.claim(1).id == moved
    assert (await house.ask("GET", f"/{moved}"))[1]["attempts"] == 1
    assert house.queue(slots=1).claim(0).id == moved  # A slot that is no more.


async def test_an_organisation_sees_its_own_and_has_no_more_than_its_part(house):
    mine = await house.made()
    house.as_organisation("org_other")
    for method, path in (
        ("GET", f"/{mine}"), ("POST", f"/{mine}/cancel"), ("DELETE", f"/{mine}"), ("GET", f"/{mine}/curve"),
        ("GET", f"/{mine}/report"),
    ):  # fmt: skip
        status, said = await house.ask(method, path)
        assert (status, said["detail"]) == (404, f"no backtest {mine}")
    assert (await house.ask("GET"))[1]["data"] == []
    others = [await house.made() for _ in range(10)]
    status, said = await house.post()
    assert (status, said["rule"]) == (403, "backtests-waiting")
    _, page = await house.ask("GET", "?limit=4&state=queued")
    _, rest = await house.ask("GET", f"?limit=50&state=queued&cursor={page['next']}")
    assert [one["id"] for one in page["data"] + rest["data"]] == others[::-1]
    house.as_organisation(ANYBODY.organisation)
    assert await house.state(mine) == "queued"
    assert (await house.ask("GET", f"?limit=4&state=queued&cursor={page['next']}"))[1]["code"] == "invalid_cursor"


async def test_recordings_are_listed_as_a_configuration_names_them(house):
    folder = house.folder / "market-data"
    (folder / "binance").mkdir(parents=True)
    for name in ("a.store", "binance/b.store"):
        (folder / name).write_bytes(b"12345")
    (folder / "out.store").symlink_to("/etc/passwd")
    (folder / "gone.store").symlink_to("nothing")
    status, _, content = await house.client.ask("GET", "/v1/backtest-data?limit=1")
    page = json.loads(content)
    assert (status, page["data"]) == (200, [{"path": "a.store", "bytes": 5}])
    _, _, content = await house.client.ask("GET", f"/v1/backtest-data?cursor={page['next']}")
    assert json.loads(content) == {"data": [{"path": "binance/b.store", "bytes": 5}], "next": None}


async def test_the_stream_tells_readers_how_far_theirs_are_and_for_a_minute_how_they_ended(house):
    services = house.services
    watch = Watch(services.database, services.hub, services.clock.now_ns)
    mine = await house.made()
    house.as_organisation("org_other")
    await house.made()
    await watch.look()
    assert list(services.hub.channels("backtests")) == []  # Nobody reads.
    session = services.hub.open()
    services.hub.subscribe(session, "backtests", ANYBODY.organisation)

    async def told():
        await watch.look()
        return [json.loads(message)["d"] for message in session.take()]

    (state,) = await told()
    assert {name: one["state"] for name, one in state.items()} == {mine: "queued"}
    queue = house.queue()
    assert queue.claim(0).id == mine
    assert queue.progress(mine, "running", 420)
    (change,) = await told()
    assert (change[mine]["state"], change[mine]["part"], change[mine]["progress"]) == ("running", "running", "0.420")
    assert await told() == []
    queue.finish(mine, Outcome(DONE, result="{}", curve="[]"))
    assert (await told())[0][mine]["state"] == "done"
    services.clock.advance(seconds=ENDED_SHOWN_NS // 10**9 + 1)
    assert await told() == [{mine: None}]


def flattened(value):
    if isinstance(value, dict):
        return [inner for one in value.values() for inner in flattened(one)]
    return [value]


def children_of(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]
