"""Routes that ask for scopes, before a gate that admits whom the test says."""

from __future__ import annotations

import json
import re
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIWebSocketRoute
from fastapi.staticfiles import StaticFiles
from hypothesis import given
from hypothesis import strategies as st

from api import create_app
from api.auth import (
    ROLE_SCOPES,
    Method,
    Principal,
    Requirement,
    Role,
    Scope,
    check_routes,
    confirm_step_up,
    declared_routes,
    public,
    require,
    requirement_of,
)
from api.auth.principal import describe_callers
from api.auth.scopes import format_scopes, parse_scopes, scopes_of
from api.core.errors import Forbidden
from api.problems import answer_problems
from domain import InputError, InvariantError
from tests.api.lab import JSON, Client


class OneCaller:
    """Admits the same caller always; confirms when told to."""

    def __init__(self, principal, *, confirms=False):
        self.principal, self.confirms, self.asked = principal, confirms, []

    async def admit(self, request, need):
        self.asked.append(need)
        return self.principal

    async def confirm(self, request, principal):
        if not self.confirms:
            raise Forbidden("a person must confirm this", code="step_up_required")
        return principal


def caller(*scopes, portfolios=None):
    return Principal("org_a", "key:key_a", frozenset(scopes), Method.SIGNATURE, portfolios)


def application(gate):
    app = FastAPI(docs_url=None, redoc_url=None)
    answer_problems(app)
    if gate is not None:
        app.state.gate = gate

    @app.get("/orders")
    async def orders(who: Annotated[Principal, require(Scope.ORDERS_READ, weight=5)]) -> str:
        return who.organisation

    @app.post("/withdrawals")
    async def withdraw(who: Annotated[Principal, require(Scope.WITHDRAWALS_WRITE, step_up=True)]) -> str:
        return who.actor

    @app.post("/limits/{portfolio}")
    async def limit(
        portfolio: str, looser: bool, request: Request, who: Annotated[Principal, require(Scope.RISK_WRITE)]
    ) -> str:
        who.check_portfolio(portfolio)
        if looser:
            await confirm_step_up(request, who)
        return "changed"

    @app.get("/docs-for-all", dependencies=[public()])
    async def docs() -> str:
        return "read me"

    return app


async def ask(gate, method, path):
    status, _, body = await Client(application(gate)).ask(method, path)
    return status, json.loads(body)


async def test_a_caller_with_the_scope_passes_and_the_gate_is_told_the_weight():
    gate = OneCaller(caller(Scope.ORDERS_READ))
    assert await ask(gate, "GET", "/orders") == (200, "org_a")
    assert gate.asked == [Requirement((Scope.ORDERS_READ,), step_up=False, weight=5)]


async def test_a_caller_without_the_scope_is_refused_by_name():
    status, problem = await ask(OneCaller(caller(Scope.ORDERS_WRITE)), "GET", "/orders")
    assert (status, problem["code"]) == (403, "missing_scope")
    assert "orders:read" in problem["detail"]


async def test_an_application_without_a_gate_admits_nobody_but_to_what_is_public():
    assert (await ask(None, "GET", "/orders"))[0] == 500
    assert await ask(None, "GET", "/docs-for-all") == (200, "read me")


async def test_a_step_up_is_asked_for_after_the_scope():
    able, unable = caller(Scope.WITHDRAWALS_WRITE), caller(Scope.WITHDRAWALS_READ)
    assert (await ask(OneCaller(unable, confirms=True), "POST", "/withdrawals"))[1]["code"] == "missing_scope"
    assert (await ask(OneCaller(able), "POST", "/withdrawals"))[1]["code"] == "step_up_required"
    assert await ask(OneCaller(able, confirms=True), "POST", "/withdrawals") == (200, "key:key_a")


async def test_tightening_needs_no_step_up_and_loosening_does():
    gate = OneCaller(caller(Scope.RISK_WRITE, portfolios=frozenset({"main"})))
    assert await ask(gate, "POST", "/limits/main?looser=false") == (200, "changed")
    assert (await ask(gate, "POST", "/limits/main?looser=true"))[1]["code"] == "step_up_required"
    assert (await ask(gate, "POST", "/limits/other?looser=false"))[1]["code"] == "foreign_portfolio"


def test_a_route_that_says_nothing_keeps_the_application_from_starting():
    app = application(None)
    check_routes(app)

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    with pytest.raises(InvariantError, match="/forgotten"):
        check_routes(app)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_route_of_an_included_router_keeps_it_from_starting_too(depth):
    app, router = application(None), APIRouter(prefix="/hidden")

    @router.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    for _ in range(depth - 1):
        outer = APIRouter(prefix="/deeper")
        outer.include_router(router)
        router = outer
    app.include_router(router)
    with pytest.raises(InvariantError, match="/hidden/forgotten"):
        check_routes(app)


def test_what_cannot_say_whom_it_admits_is_named_as_open_or_keeps_it_from_starting(tmp_path):
    app = application(None)
    app.mount("/files", StaticFiles(directory=tmp_path))
    with pytest.raises(InvariantError, match="/files"):
        check_routes(app)
    check_routes(app, open_paths={"/files"})


async def test_every_route_of_the_application_is_refused_to_nobody_or_public_on_purpose(client, services):
    app = create_app(services)
    public_paths, asked = set(), 0
    for route in declared_routes(app):
        if requirement_of(route) is None:
            public_paths.add(route.path)
            continue
        if isinstance(route.original_route, APIWebSocketRoute):
            continue
        for method in route.methods:
            path = re.sub(r"{[^}]*}", "x", route.path)
            address = f"203.0.113.{asked % 250}"  # One address alone would be told that it is wrong too often.
            answer = await client.full(method, path, b"{}", headers=JSON, address=address)
            assert answer.status == 401, (method, path, answer.status)
            asked += 1
    assert asked > 30
    assert not {path for path in public_paths if "auth" not in path} - OPEN


OPEN = {
    "/v1/health", "/v1/branding/{slug}", "/.well-known/jwks.json", "/healthz", "/readyz", "/readyz/{component}",
    "/v1/stream",
    "/docs", "/docs/start.js", "/docs/{asset}",
}  # fmt: skip
"""Beside the ways to log in, and the stream, which asks for a ticket. Whoever opens another route says so here."""


def test_what_a_route_wants_can_be_read_from_it():
    wanted = {route.path: requirement_of(route) for route in declared_routes(application(None))}
    assert wanted["/withdrawals"] == Requirement((Scope.WITHDRAWALS_WRITE,), step_up=True)
    assert wanted["/docs-for-all"] is None


def test_the_document_names_both_ways_in():
    app = application(None)
    schemes = describe_callers(app, app.openapi())
    assert set(schemes["components"]["securitySchemes"]) == {"access_token", "signed_request"}
    assert schemes["paths"]["/orders"]["get"]["security"] == [{"access_token": []}, {"signed_request": []}]


def test_nobody_but_an_owner_both_withdraws_and_approves():
    for role, scopes in ROLE_SCOPES.items():
        both = {Scope.WITHDRAWALS_WRITE, Scope.APPROVALS_WRITE} <= scopes
        assert both == (role is Role.OWNER), role


def test_every_role_reads_the_market_and_may_not_more_than_an_owner():
    assert set(ROLE_SCOPES) == set(Role)
    for scopes in ROLE_SCOPES.values():
        assert Scope.MARKET_READ in scopes
        assert scopes <= ROLE_SCOPES[Role.OWNER]
    assert not any(scope.endswith(":write") for scope in ROLE_SCOPES[Role.AUDITOR] | ROLE_SCOPES[Role.VIEWER])
    assert scopes_of([]) == frozenset()


@given(st.sets(st.sampled_from(Scope)))
def test_scopes_read_as_they_were_written(scopes):
    assert parse_scopes(format_scopes(scopes)) == scopes


@pytest.mark.parametrize(
    "text", ["orders:read  ledger:read", " orders:read", "orders", "ORDERS:READ", "orders:read orders:read"]
)
def test_what_is_no_list_of_scopes_is_refused(text):
    with pytest.raises(InputError):
        parse_scopes(text)
