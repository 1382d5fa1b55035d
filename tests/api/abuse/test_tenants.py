"""Nobody reaches across: every route that names a thing, asked for another organisation's, by every role."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.auth import declared_routes, requirement_of
from api.auth.scopes import ROLE_SCOPES, Role
from tests.api.abuse.tenants import HOUSES, NOBODYS, Tenants, filled, stored
from tests.api.custody.lab import counter
from tests.api.lab import api_services
from tests.api.logs import logging


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator[Tenants]:
    with api_services(tmp_path, counter=counter) as services:
        yield await Tenants.of(services, tmp_path)


def made_up(values: dict[str, str]) -> dict[str, str]:
    """Ids of the same form of which there is nothing."""
    return {name: f"{value}999" if value.isdigit() else f"{value[:-2]}aa" for name, value in values.items()}


def like(said: dict[str, str], values: dict[str, str]) -> dict[str, str]:
    """An answer without what differs from one request to the next: its id, and the names in its words."""
    words = said["detail"]
    for value in sorted(values.values(), key=len, reverse=True):
        words = words.replace(value, "…")
    return said | {"request_id": "", "detail": words}


async def test_anothers_thing_is_answered_like_none_by_every_route_and_to_every_role(tenants: Tenants) -> None:
    before, routes = stored(tenants.services), tenants.named()
    for verb, path, values in routes:
        body = tenants.example(verb, path)
        for role in Role:
            who = replace(tenants.stranger, scopes=ROLE_SCOPES[role])
            with logging() as written:
                theirs = await tenants.ask(who, verb, filled(path, values), body)
            said = json.loads(theirs.body)
            assert theirs.status in (403, 404), (verb, path, role, said)
            assert theirs.status == 404 or said["code"] in ("missing_scope", "house_only"), (verb, path, role, said)
            line = written.one(event="api.request")
            assert (line["actor"], line["organisation"]) == (who.actor, who.organisation)
            assert (line["method"], line["route"], line["code"]) == (verb, path, said["code"]), "never whose or which"
        nothing = made_up(values)
        none = await tenants.ask(tenants.stranger, verb, filled(path, nothing), body)
        theirs = await tenants.ask(tenants.stranger, verb, filled(path, values), body)
        assert like(json.loads(theirs.body), values) == like(json.loads(none.body), nothing), (verb, path)
    assert len(routes) >= 60
    after = stored(tenants.services)
    assert {table for table in after if after[table] != before[table]} == set()


async def test_what_only_the_house_has_is_answered_to_others_as_that(tenants: Tenants) -> None:
    declared = {route.path: route.methods for route in declared_routes(tenants.client.app) if "{" in route.path}
    assert declared.keys() >= NOBODYS.keys() | HOUSES.keys(), "what is named there is there"
    for path in HOUSES:
        for verb in declared[path]:
            thing = filled(path, {"proposal": "pol_" + "0" * 16})
            answer = await tenants.ask(tenants.owner, verb, thing, tenants.example(verb, path))
            assert (answer.status, json.loads(answer.body)["code"]) == (403, "house_only"), (verb, path)


async def test_what_an_owner_names_is_found(tenants: Tenants) -> None:
    """Else the test above would hold for any ids."""
    for verb, path, values in tenants.named():
        own = await tenants.ask(tenants.owner, verb, filled(path, values), tenants.example(verb, path))
        assert own.status != 404, (verb, path, own.body)
        assert verb != "GET" or own.status == 200, (verb, path, own.body)


async def test_no_list_has_anything_of_anothers(tenants: Tenants) -> None:
    ids = {name: value for name, value in tenants.things.items() if len(value) > 7}
    asked = 0
    for route in declared_routes(tenants.client.app):
        if requirement_of(route) is None or "{" in route.path or "GET" not in (getattr(route, "methods", None) or ()):
            continue
        theirs = await tenants.ask(tenants.stranger, "GET", route.path)
        found = {name for name, value in ids.items() if value in theirs.body.decode()}
        assert not found, (route.path, theirs.body)
        asked += 1
    assert asked > 15
