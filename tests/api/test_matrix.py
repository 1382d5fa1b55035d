"""Every route against every role: whoever lacks a scope is refused by it, and whoever has it is not.

What a route wants is read from the route, what a role may from `api.auth.scopes`; that the two are what they should be
is for people to read, and printed here when it changes.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from api.auth import declared_routes, requirement_of
from api.auth.scopes import ROLE_SCOPES, Role, Scope
from api.auth.tables import MembershipRow, OrganisationRow, UserRow
from tests.api.custody.lab import counter
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PATH_VALUES = {
    "order_id": "ord_" + "0" * 24, "portfolio": "pf_" + "0" * 16, "kill": "kill_" + "0" * 16, "strategy": "mm",
    "swap": "sw_" + "0" * 24, "backtest": "bt_" + "0" * 24, "webhook": "whk_" + "0" * 16, "delivery": "1",
    "withdrawal": "w-" + "0" * 24, "address": "1", "deposit": "1", "proposal": "pol_" + "0" * 16,
    "freeze_id": "1", "alert": "alr_" + "0" * 16, "rule": "rul_" + "0" * 16, "channel": "chn_" + "0" * 16,
}  # fmt: skip
WRITES = {
    Scope.ORDERS_WRITE: {Role.OWNER, Role.TRADER},
    Scope.WITHDRAWALS_WRITE: {Role.OWNER, Role.TREASURER},
    Scope.APPROVALS_WRITE: {Role.OWNER, Role.APPROVER},
    Scope.KEYS_WRITE: {Role.OWNER, Role.ADMIN},
    Scope.STRATEGIES_WRITE: {Role.OWNER, Role.TRADER},
    Scope.STRATEGIES_RUN: {Role.OWNER, Role.TRADER},
    Scope.KILL_RELEASE: {Role.OWNER, Role.ADMIN, Role.APPROVER},
}


def wanted(app):
    """Every (verb, path, scopes) that needs a caller."""
    for route in declared_routes(app):
        need = requirement_of(route)
        if need is None or not need.scopes:
            continue
        for verb in sorted(set(getattr(route, "methods", None) or ()) & set(VERBS)):
            yield verb, route.path, frozenset(need.scopes)


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: PATH_VALUES.get(found[1], "x"), path)


@pytest.mark.parametrize("role", list(Role))
async def test_each_route_admits_the_roles_that_have_its_scopes_and_no_other(role, tmp_path):
    with api_services(tmp_path, counter=counter) as services:
        with services.database.transaction() as session:
            org, user = ANYBODY.organisation, str(ANYBODY.user)
            session.add(OrganisationRow(id=org, slug="any", name="Any", rate_limit=10**6, created_ns=1))
            session.add(UserRow(id=user, email="any@example.com", name="Any", created_ns=1))
            session.flush()
            session.add(MembershipRow(organisation=org, user=user, roles=str(role), created_ns=1))
        app = application(services, OpenGate(replace(ANYBODY, scopes=ROLE_SCOPES[role])))
        client, asked = Client(app), 0
        for verb, path, scopes in wanted(app):
            answer = await client.full(verb, filled(path), b"" if verb == "GET" else b"{}", headers=JSON)
            said = json.loads(answer.body) if answer.body and answer.headers["content-type"] != "text/plain" else {}
            is_refused = answer.status == 403 and isinstance(said, dict) and said.get("code") == "missing_scope"
            assert is_refused == (not scopes <= ROLE_SCOPES[role]), (verb, path, role, answer.status, said)
            assert answer.status != 500, (verb, path, said)
            asked += 1
        assert asked > 40


def test_what_moves_money_is_for_few_and_a_viewer_writes_nothing():
    for scope, roles in WRITES.items():
        assert {role for role in Role if scope in ROLE_SCOPES[role]} == roles, scope
    assert not [scope for scope in ROLE_SCOPES[Role.VIEWER] if not scope.endswith(":read")]
    assert not [scope for scope in ROLE_SCOPES[Role.AUDITOR] if not scope.endswith(":read")]
