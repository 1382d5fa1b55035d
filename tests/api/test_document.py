"""Requests made of the OpenAPI document by schemathesis: no 5xx, no status or body that it does not describe."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.auth.tables import MembershipRow, OrganisationRow, UserRow
from domain import InputError
from tests.api.custody.lab import counter
from tests.api.lab import ANYBODY, api_services, application
from tests.api.orders.test_orders import House
from tests.api.swaps.test_quotes import FACTS

CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
)  # fmt: skip
EXAMPLES = 4


class Engine:
    """Answers as a running engine does, in whichever loop it is asked."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def ask(self, command: str, *, timeout_s: float = 10.0, **request: Any) -> dict[str, Any]:
        match command:
            case "status":
                return {"state": "trading"}
            case "metrics":
                return {"text": "capstan_fills 0\n"}
            case "kill" | "stage" | "resume":
                return {}
            case "strategies":
                about = {"id": "desk", "kind": "client-orders", "instruments": ["one:ETHUSDC"], "venues": ["one"]}
                return {"strategies": [about | {"stage": "running", "stopped_by": None, "parameters": {}}]}
            case "reload":
                raise InputError("unknown keys", hint="there are none")
        return await self._house._handle({"command": command, **request})


class Dex:
    """Answers as a running `capstan dex serve` does."""

    async def ask(self, command: str, *, timeout_s: float = 25.0, **request: Any) -> dict[str, Any]:
        if command == "prepare":
            plan = {"account": "0x", "amount_in_max": "1", "amount_out_min": "1", "valid_until_s": 1, "through": "x"}
            more = {"contract": "0x", "steps": [], "gas_limit": 1, "gas_cost_wei_max": "1", "problems": []}
            return {"quote": FACTS} | plan | more
        return FACTS


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("document")
    with api_services(folder, counter=counter) as services:
        with services.database.transaction() as session:
            org, user = ANYBODY.organisation, str(ANYBODY.user)
            session.add(OrganisationRow(id=org, slug="any", name="Any", rate_limit=10**6, created_ns=1))
            session.add(UserRow(id=user, email="any@example.com", name="Any", created_ns=1))
            session.flush()
            session.add(MembershipRow(organisation=org, user=user, roles="owner", created_ns=1))
        house = asyncio.run(_house(services, folder))
        services.engine.ask = Engine(house).ask  # type: ignore[method-assign]
        services.dex.ask = Dex().ask  # type: ignore[method-assign]
        yield schemathesis.openapi.from_asgi("/openapi.json", application(services, house.gate))


async def _house(services: Any, folder: Any) -> House:
    return House(services, folder)


def test_every_answer_is_one_that_the_document_describes(schema: Any) -> None:
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            nonlocal asked
            asked += 1
            response = case.call()
            case.validate_response(response, checks=CHECKS)

        check()
    assert asked > 200
