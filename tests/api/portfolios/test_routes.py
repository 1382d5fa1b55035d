"""Portfolios, positions and results over HTTP: one's own, as the engine tells them, and nobody else's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from api.portfolios.directory import assign, create
from tests.api.lab import ANYBODY, JSON, api_services
from tests.api.orders.test_orders import House
from tests.engine.feed.test_feed import Lab


@pytest.fixture
def house(tmp_path):
    with api_services(tmp_path) as services:
        house = House(services, tmp_path)
        lab = Lab()
        lab.book(299_990, 300_010)
        lab.feed.take()
        services.mirror.begin(json.loads(json.dumps(lab.feed.snapshot())))
        house.lab = lab
        yield house


async def trade(house):
    await house.services.directory.refresh(now=True)
    house.lab.fill(house.lab.place(), 200)
    changes, events = json.loads(json.dumps(house.lab.feed.take()))
    house.services.mirror.take({"changes": changes, "events": events})


async def put(house, path, body):
    answer = await house.client.full("PUT", path, json.dumps(body).encode(), headers=JSON)
    return answer.status, json.loads(answer.body)


async def test_positions_and_results_are_those_of_ones_portfolios(house):
    await trade(house)
    status, positions = await house.ask("GET", "/v1/positions")
    assert (status, positions["is_live"]) == (200, True)
    assert [(p["portfolio"], p["strategy"], p["qty"]) for p in positions["data"]] == [(house.portfolio, "desk", "0.2")]
    results = (await house.ask("GET", f"/v1/pnl?portfolio={house.portfolio}"))[1]["data"]
    assert {result["strategy"] for result in results} == {None, "desk"}
    house.gate.principal = replace(ANYBODY, organisation="org_other")
    assert (await house.ask("GET", "/v1/positions"))[1]["data"] == []
    assert (await house.ask("GET", "/v1/pnl"))[1]["data"] == []
    for path in (f"/v1/positions?portfolio={house.portfolio}", f"/v1/portfolios/{house.portfolio}"):
        assert (await house.ask("GET", path))[0] == 404
    house.gate.principal = replace(ANYBODY, portfolios=frozenset({"pf_0000000000000000"}))
    assert (await house.ask("GET", "/v1/portfolios"))[1]["data"] == []


async def test_what_was_made_in_an_instrument_is_the_sum_of_its_strategies(house):
    await trade(house)
    known = house.services.mirror.state("positions")["desk/one:ETHUSDC"]
    twin = known | {"strategy": "two", "fees": {"BNB": "-0.5"}}
    house.services.mirror.take({"changes": [["positions", "two/one:ETHUSDC", twin]], "events": []})
    with house.services.database.transaction() as session:
        assign(session, "two", house.portfolio)
    await house.services.directory.refresh(now=True)
    status, told = await house.ask("GET", "/v1/pnl/instruments")
    [one] = told["data"]
    assert (status, one["portfolio"], one["instrument"], one["currency"]) == (
        200, house.portfolio, "one:ETHUSDC", "USDC",
    )  # fmt: skip
    assert (one["qty"], one["trades"], one["fees"]) == ("0.4", 2, {"BNB": "-0.5"})
    assert float(one["unrealised"]) == 2 * float(twin["unrealised"])
    house.services.mirror.take(
        {"changes": [["positions", "two/one:ETHUSDC", twin | {"unrealised": None}]], "events": []}
    )
    assert (await house.ask("GET", "/v1/pnl/instruments"))[1]["data"][0]["unrealised"] is None
    house.gate.principal = replace(ANYBODY, organisation="org_other")
    assert (await house.ask("GET", "/v1/pnl/instruments"))[1]["data"] == []


async def test_without_an_engine_it_is_said_that_this_is_old(house):
    await trade(house)
    house.services.mirror.lose()
    positions = (await house.ask("GET", "/v1/positions"))[1]
    assert (positions["is_live"], len(positions["data"])) == (False, 1)
    assert (await house.ask("GET", "/v1/books/one:ETHUSDC"))[1]["is_valid"] is False


async def test_a_book_is_the_engines_and_cut_to_the_levels_asked_for(house):
    book = (await house.ask("GET", "/v1/books/one:ETHUSDC?levels=1"))[1]
    assert (book["is_valid"], book["bids"], book["asks"]) == (True, [["2999.9", "5"]], [["3000.1", "5"]])
    for path in ("/v1/books/one:BTCUSDC", "/v1/books/../../x"):
        assert (await house.ask("GET", path))[0] == 404


async def test_instruments_are_told_with_their_grid(house):
    async with house.engine():
        found = (await house.ask("GET", "/v1/instruments"))[1]["data"]
        assert found == [(await house.ask("GET", "/v1/instruments/one:ETHUSDC"))[1]]
        assert (found[0]["tick_size"], found[0]["lot_size"], found[0]["taker_fee_bps"]) == ("0.01", "0.001", "4")
        assert (await house.ask("GET", "/v1/instruments/one:BTCUSDC"))[0] == 404
    assert (await house.ask("GET", "/v1/instruments"))[0] == 503


async def test_portfolios_are_made_once_and_by_callers_of_all(house):
    status, made = await house.ask("POST", "/v1/portfolios", {"name": "arb"}, "key-0001")
    assert status == 201
    assert (await house.ask("POST", "/v1/portfolios", {"name": "arb"}, "key-0001"))[1] == made
    assert (await house.ask("POST", "/v1/portfolios", {"name": "arb"}, "key-0002"))[0] == 409
    assert {p["name"] for p in (await house.ask("GET", "/v1/portfolios"))[1]["data"]} == {"main", "arb"}
    house.gate.principal = replace(ANYBODY, portfolios=frozenset({house.portfolio}))
    assert (await house.ask("POST", "/v1/portfolios", {"name": "mine"}, "key-0003"))[0] == 403


async def test_a_strategy_goes_where_its_owner_may_put_it(house):
    await trade(house)
    made = (await house.ask("POST", "/v1/portfolios", {"name": "arb"}, "key-0001"))[1]
    assert (await put(house, "/v1/strategies/desk/portfolio", {"portfolio": made["id"]}))[1]["strategies"] == ["desk"]
    assert (await house.ask("GET", f"/v1/positions?portfolio={house.portfolio}"))[1]["data"] == []
    assert len((await house.ask("GET", f"/v1/positions?portfolio={made['id']}"))[1]["data"]) == 1
    # Another organisation's portfolio is none to whoever is not the house.
    assert (await put(house, "/v1/strategies/desk/portfolio", {"portfolio": house.other}))[0] == 404
    with house.services.database.transaction() as session:
        create(session, ANYBODY.organisation, "rest", 1, has_rest=True)
    assert (await put(house, "/v1/strategies/desk/portfolio", {"portfolio": house.other}))[0] == 200
    assert (await house.ask("GET", "/v1/positions"))[1]["data"] == []
    house.gate.principal = replace(ANYBODY, organisation="org_other")
    assert len((await house.ask("GET", "/v1/positions"))[1]["data"]) == 1
    # And it is the other's now.
    house.gate.principal = ANYBODY
    assert (await put(house, "/v1/strategies/desk/portfolio", {"portfolio": made["id"]}))[0] == 404


async def test_readers_of_the_stream_see_a_strategy_come_and_go(house):
    await trade(house)
    hub = house.services.hub
    made = (await house.ask("POST", "/v1/portfolios", {"name": "arb"}, "key-0001"))[1]["id"]
    await put(house, "/v1/strategies/desk/portfolio", {"portfolio": made})
    await house.ask("GET", "/v1/pnl")
    for name in ("positions", "pnl"):
        assert hub.channel(name, house.portfolio).state == {}
        assert hub.channel(name, made).state


async def test_the_document_has_every_problem_and_no_schema_that_is_missing(house):
    document = (await house.ask("GET", "/openapi.json"))[1]
    answers = document["paths"]["/v1/positions"]["get"]["responses"]
    assert {"200", "401", "403", "404", "422", "429", "503", "504"} <= set(answers)
    names = set(document["components"]["schemas"])
    assert "Problem" in names
    assert "HTTPValidationError" not in names
    referred = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert referred <= names
