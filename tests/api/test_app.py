"""The HTTP front, called as a server calls it, before a real control socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from api import create_app
from api.portfolios.directory import create
from custody import Ledger, open_books
from domain import InputError, InvariantError, OutcomeUnknown
from runtime.control import serve_control
from runtime.database import Database
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_client, api_services


def assert_is_problem(answer, status, code=None):
    """RFC 9457: the media type, and members that agree with the status."""
    assert answer[0] == status
    assert answer[1] == "application/problem+json"
    problem = json.loads(answer[2])
    assert problem["status"] == status
    assert problem["type"] == f"urn:capstan:problem:{problem['code']}"
    assert problem["request_id"]
    assert problem["title"]
    assert problem["detail"]
    if code is not None:
        assert problem["code"] == code
    return problem


@pytest.fixture
def control(tmp_path):
    return tmp_path / "engine.sock"


@pytest.fixture
def client(control, tmp_path):
    with api_client(tmp_path, control=control) as client:
        yield client


@pytest.fixture
def asked():
    return []


@pytest.fixture
async def engine(control, asked):
    async def handle(request):
        asked.append(request)
        match request["command"]:
            case "status":
                return {"state": "trading"}
            case "kill":
                return {"halted": f"killed: {request['reason']}", "open_orders": 0}
            case "metrics":
                return {"text": "capstan_fills 3\n"}
            case other:
                raise InputError(f"unknown command {other!r}")

    async with serve_control(control, handle):
        yield


@pytest.mark.usefixtures("engine")
async def test_kill_reaches_the_engine_with_its_reason(client, asked):
    status, _, body = await client.post("/v1/kills", {"reason": "drill"})
    killed = json.loads(body)
    assert (status, killed["engine"], killed["recorded"], killed["strategies"]) == (201, "done", True, [])
    assert asked == [{"command": "kill", "reason": "drill"}]


@pytest.mark.usefixtures("engine")
async def test_status_and_health_are_the_engines(client):
    assert json.loads((await client.ask("GET", "/v1/engine"))[2]) == {"state": "trading"}
    assert json.loads((await client.ask("GET", "/v1/health"))[2]) == {"api": "ok", "engine": "trading"}


async def test_without_an_engine_trading_is_unavailable_and_health_says_so(client):
    for method, path in (("GET", "/v1/engine"), ("GET", "/v1/ledger/balances")):
        assert_is_problem(await client.ask(method, path), 503, "unavailable")
    pressed = json.loads((await client.post("/v1/kills", {}))[2])
    assert "no process listens" in pressed["engine"], "it is written down, and said that nobody stopped"
    assert json.loads((await client.ask("GET", "/v1/health"))[2]) == {"api": "ok", "engine": "VenueUnavailable"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OutcomeUnknown("not confirmed", request_id="kill"), 504, "outcome_unknown"),
        (InvariantError("it does not add up"), 500, "internal_error"),
        (InputError("no such command"), 422, "invalid_request"),
    ],
)
async def test_errors_of_the_engine_keep_their_meaning(client, control, error, status, code):
    async def fail(_request):
        raise error

    async with serve_control(control, fail):
        problem = assert_is_problem(await client.ask("GET", "/v1/engine"), status, code)
    assert problem["detail"] == str(error)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"kill"', b"\xff\xfe", b'{"reason": 3}', b'{"reason": ""}', b'{"why": "x"}',
             b'{"reason": "' + b"x" * 201 + b'"}']
)  # fmt: skip
async def test_malformed_bodies_are_problems_and_reach_nobody(client, asked, body):
    assert_is_problem(await client.ask("POST", "/v1/kills", body, headers=JSON), 422)
    assert asked == []


@pytest.mark.usefixtures("engine")
async def test_body_nested_too_deep_to_read_is_a_problem(client, asked):
    answer = await client.ask("POST", "/v1/kills", b"[" * 10_000, headers=JSON)
    # Which of the two depends on the interpreter's recursion limit, which libraries raise.
    assert answer[0] in (400, 422)
    assert_is_problem(answer, answer[0])
    assert asked == []


@pytest.mark.usefixtures("engine")
async def test_body_beyond_the_bound_is_refused_announced_or_not(client, asked):
    big = b'{"reason": "x"' + b" " * 70_000 + b"}"
    assert_is_problem(await client.ask("POST", "/v1/kills", big, headers=JSON), 413, "body_too_large")
    pieces = [big[i : i + 1_000] for i in range(0, len(big), 1_000)]
    assert_is_problem(await client.ask("POST", "/v1/kills", headers=JSON, chunks=pieces), 413, "body_too_large")
    for length in ("-1", "x", "\xb2", "9" * 400):
        headers = {**JSON, "content-length": length}
        assert_is_problem(await client.ask("POST", "/v1/kills", b"{}", headers=headers), 413, "body_too_large")
    assert asked == []
    within = [b'{"reason":', b' "in ', b'pieces"}']
    assert (await client.ask("POST", "/v1/kills", headers=JSON, chunks=within))[0] == 201


async def test_unknown_paths_and_methods_are_problems(client):
    assert_is_problem(await client.ask("GET", "/v1/nothing"), 404, "not_found")
    assert_is_problem(await client.ask("PUT", "/v1/kills"), 405, "method_not_allowed")


async def test_bug_is_a_problem_without_its_details(control, tmp_path):
    class Broken:
        def balances(self, _prefix):
            raise RuntimeError("secret internals")

    with api_client(tmp_path, control=control, books=Broken()) as client:
        answer = await client.ask("GET", "/v1/ledger/balances")
    assert_is_problem(answer, 500, "internal_error")
    assert b"secret internals" not in answer[2]


async def test_balances_are_text_by_account(tmp_path, control):
    database = Database.at(tmp_path / "books.db")
    try:
        open_books(database)
        with api_client(tmp_path, control=control, books=Ledger(database, lambda: 1)) as client:
            assert await client.ask("GET", "/v1/ledger/balances") == (200, "application/json", b"{}")
    finally:
        database.dispose()


async def test_requests_do_not_wait_for_one_another(client, control):
    release, waiting = asyncio.Event(), asyncio.Event()

    async def handle(request):
        if request["command"] == "kill":
            waiting.set()
            await release.wait()
        return {"state": "trading"}

    async with serve_control(control, handle):
        slow = asyncio.create_task(client.post("/v1/kills", {}))
        await waiting.wait()
        assert (await client.ask("GET", "/v1/engine"))[0] == 200
        release.set()
        assert (await slow)[0] == 201


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "who",
    [replace(ANYBODY, organisation="org_tenant"), replace(ANYBODY, portfolios=frozenset({"pf_0000000000000000"}))],
)
async def test_what_is_about_all_tenants_is_for_the_house(tmp_path, control, asked, who):
    with api_services(tmp_path, control=control, books=Ledger(None, lambda: 1)) as services:
        with services.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
        client = Client(create_app(services, gate=OpenGate(who)))
        for path in ("/v1/engine", "/metrics", "/v1/ledger/balances"):
            assert_is_problem(await client.ask("GET", path), 403, "house_only")
    assert asked == []
