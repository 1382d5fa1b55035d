"""What an operator sees of requests and streams: figures by route, one line in the log for each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from api.core import figures
from api.core.requests import ABANDONED, RequestFrame
from api.kill.tables import KillRow
from api.portfolios.directory import create
from api.streams.hub import Hub
from custody import open_books
from domain import InputError
from runtime import ManualClock, configure_logging
from runtime.control import serve_control
from tests.api.lab import ANYBODY, Client, OpenGate, api_services, application

Figures = dict[tuple[str, ...], float]


def read(text: str) -> Figures:
    """Figures by name and labels; no name is told twice."""
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def control(tmp_path: Path) -> Path:
    return tmp_path / "engine.sock"


@pytest.fixture
def services(tmp_path: Path, control: Path) -> Iterator[object]:
    with api_services(tmp_path, control=control) as found:
        open_books(found.database)
        with found.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
        yield found


@pytest.fixture
def client(services) -> Client:
    return Client(application(services, OpenGate()))


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict]]]:
    configure_logging(file=tmp_path / "log")
    # A logger keeps the settings with which it wrote first.
    monkeypatch.setattr("api.core.requests.log", structlog.get_logger())
    yield lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    structlog.reset_defaults()


async def scrape(client: Client) -> Figures:
    status, media, body = await client.ask("GET", "/metrics")
    assert (status, media) == (200, "text/plain; charset=utf-8")
    return read(body.decode())


async def test_requests_are_counted_by_route_and_how_they_ended(client: Client) -> None:
    before = await scrape(client)
    for path, status in (("/v1/orders/ord_a", 422), ("/v1/orders/ord_b", 422), ("/v1/made-up", 404), ("/v2", 404)):
        assert (await client.ask("GET", path))[0] == status
    after = await scrape(client)

    def more(*name: str) -> float:
        return after[name] - before.get(name, 0.0)

    route = "route=/v1/orders/{order_id}"
    assert more("capstan_http_requests_total", "method=GET", route, "status=422") == 2
    assert more("capstan_http_request_seconds_count", "method=GET", route) == 2
    assert more("capstan_http_refusals_total", "code=invalid_request") == 2
    assert more("capstan_http_refusals_total", "code=not_found") == 2
    assert more("capstan_http_requests_total", "method=GET", "route=unknown", "status=404") == 2
    assert after["capstan_http_requests_in_flight",] == 1, "this one"
    assert not any("made-up" in part or "ord_a" in part for name in after for part in name)


async def test_the_engines_figures_are_beside_ours_and_without_it_ours_are_there(client: Client, control: Path) -> None:
    async def handle(_request):
        return {"text": "# HELP capstan_fills x\n# TYPE capstan_fills counter\ncapstan_fills_total 3.0\n"}

    async with serve_control(control, handle):
        found = await scrape(client)
    assert (found["capstan_fills_total",], found["capstan_engine_up",], found["capstan_books_up",]) == (3, 1, 1)
    found = await scrape(client)
    assert ("capstan_fills_total",) not in found
    assert (found["capstan_engine_up",], found["capstan_books_up",]) == (0, 1)


async def test_kills_that_hold_are_told(client: Client, services) -> None:
    assert not any(name[0] == "capstan_kills" for name in await scrape(client))
    press = KillRow(id="kill_1", organisation="org_x", actor="user:x", target="venue", name="one", mode="cancel",
                    reason="", strategies="[]", is_whole=True, created_ns=1)  # fmt: skip
    with services.database.transaction() as session:
        session.add(press)
        session.add(KillRow(**press.model_dump() | {"id": "kill_2", "released_ns": 2}))
    assert (await scrape(client))["capstan_kills", "target=venue"] == 1


async def test_each_request_is_a_line_with_who_and_never_with_what_it_carried(client: Client, logged) -> None:
    headers = {"x-request-id": "made-by-a-proxy", "authorization": "Bearer abc"}
    await client.ask("GET", "/v1/orders/ord_secretive?cursor=private", headers=headers)
    await client.ask("GET", "/v1/health")
    first, second = (line for line in logged() if line["event"] == "api.request")
    assert first["request_id"] == "made-by-a-proxy"
    told = (first["organisation"], first["actor"], first["method"], first["route"], first["status"], first["level"])
    assert told == ("org_anybody", "key:key_anybody", "GET", "/v1/orders/{order_id}", 422, "info")
    assert first["ms"] >= 0
    assert "actor" not in second, "who asked before is not who asks now"
    assert "secretive" not in json.dumps(first)
    assert "private" not in json.dumps(first)


async def test_a_refusal_is_told_with_who_was_refused(services, logged) -> None:
    nobody = Client(application(services, OpenGate(replace(ANYBODY, scopes=frozenset()))))
    assert (await nobody.ask("GET", "/v1/orders"))[0] == 403
    (line,) = (line for line in logged() if line["event"] == "api.request")
    assert (line["actor"], line["status"]) == ("key:key_anybody", 403)


async def test_a_caller_that_went_away_is_told_as_that(logged) -> None:
    async def gone(_scope, _receive, _send):
        raise asyncio.CancelledError

    frame, before = RequestFrame(gone), read(figures.generate().decode())
    with pytest.raises(asyncio.CancelledError):
        await frame({"type": "http", "method": "GET", "headers": []}, None, None)
    (line,) = (line for line in logged() if line["event"] == "api.request")
    assert line["status"] == ABANDONED
    assert read(figures.generate().decode())["capstan_http_requests_in_flight",] == before.get(
        ("capstan_http_requests_in_flight",), 0
    )


async def test_an_error_of_ours_is_told_as_one_that_somebody_should_see(
    client: Client, control: Path, logged, monkeypatch
) -> None:
    async def fail(_request):
        raise InputError("no such command")

    async with serve_control(control, fail):
        await client.ask("GET", "/v1/engine")
    await client.ask("GET", "/v1/engine")

    async def broken(_timeout_s=0):
        raise RuntimeError("our bug")

    monkeypatch.setattr(type(client.app.state.services.engine), "ask", broken)
    await client.ask("GET", "/v1/engine")
    levels = [(line["status"], line["level"]) for line in logged() if line["event"] == "api.request"]
    assert levels == [(422, "info"), (503, "warning"), (500, "warning")]


def test_a_slow_readers_deltas_are_counted_as_conflated_and_a_gap_as_a_resubscription() -> None:
    hub, before = Hub(ManualClock(10**18).now_ns), read(figures.generate().decode())
    session = hub.open()
    hub.subscribe(session, "pnl", "pf")
    session.take()
    for result in range(4):
        hub.publish("pnl", "pf", {"portfolio": result})
    assert len(session.take()) == 1
    for result in range(4):
        hub.publish("orders", "pf", {"one": result})
    stands = hub.channel("pnl", "pf")
    hub.subscribe(session, "pnl", "pf", epoch=stands.epoch, seq=2)
    hub.subscribe(session, "pnl", "pf", epoch="another", seq=2)
    after = read(figures.generate().decode())

    def more(*name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more("capstan_conflated_total", "channel=pnl") == 3
    assert more("capstan_seq_gap_resubs_total", "answer=resumed") == 1
    assert more("capstan_seq_gap_resubs_total", "answer=snapshot") == 1
    assert ("capstan_conflated_total", "channel=orders") not in after
