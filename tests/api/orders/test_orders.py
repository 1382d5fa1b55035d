"""Orders over HTTP: once for each key, through an engine that is away, and nobody else's."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from api.history.writer import HistoryWriter
from api.portfolios.directory import assign, create
from cli.engine_operator import describe_instrument
from domain import InputError, OrderState
from domain import events as e
from engine.feed import Feed
from runtime.control import serve_control
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application
from tests.engine.requests.test_client_orders import Door

BODY = {"strategy": "desk", "instrument": "one:ETHUSDC", "side": "buy", "price": "2999.50", "qty": "0.5"}


class House:
    """The application over a kernel with one strategy that takes orders; the engine can be away."""

    def __init__(self, services, folder):
        self.services = services
        self.control = folder / "nobody.sock"
        self.gate = OpenGate()
        self.client = Client(application(services, self.gate))
        self.door = Door()
        self.door.desk.book(299_990, 300_010)
        with services.database.transaction() as session:
            self.portfolio = create(session, ANYBODY.organisation, "main", 1).id
            self.other = create(session, "org_other", "theirs", 1).id
            assign(session, "desk", self.portfolio)

    async def _handle(self, request):
        requests = self.door.requests
        match request["command"]:
            case "place_order":
                return await requests.place(request, wait_s=request["wait_s"])
            case "cancel_order":
                return await requests.cancel(request["request"], request["strategy"], wait_s=request["wait_s"])
            case "find_order":
                return requests.find(request["request"])
            case "instruments":
                return {"instruments": [describe_instrument(i) for i in self.door.desk.instruments]}
        raise InputError("unknown")

    @asynccontextmanager
    async def engine(self):
        async with serve_control(self.control, self._handle):
            yield

    async def ask(self, method, path, body=None, key=""):
        headers = JSON | ({"idempotency-key": key} if key else {})
        said = json.dumps(body).encode() if body is not None else b""
        answer = await self.client.full(method, path, said, headers=headers)
        return answer.status, json.loads(answer.body)

    async def place(self, key="key-0001", **changes):
        return await self.ask("POST", "/v1/orders?wait_ms=0", BODY | changes, key)

    @property
    def orders(self):
        return list(self.door.desk.kernel.orders.orders.values())


@pytest.fixture
def house(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield House(services, tmp_path)


async def test_an_order_is_placed_once_for_its_key(house):
    async with house.engine():
        status, placed = await house.place()
        assert (status, placed["state"], placed["qty"], placed["type"]) == (201, "pending", "0.500", "limit")
        assert await house.place() == (status, placed)
        assert (await house.place(qty="0.6"))[1]["code"] == "idempotency_key_reused"
        assert len(house.orders) == 1
        assert (await house.place(key="key-0002"))[1]["id"] != placed["id"]
        house.door.report(OrderState.ACCEPTED)
        status, found = await house.ask("GET", f"/v1/orders/{placed['id']}")
        assert (status, found["state"]) == (200, "accepted")


async def test_an_engine_that_is_away_is_asked_again_and_places_it_once(house):
    status, problem = await house.place()
    assert (status, problem["code"]) == (503, "unavailable")
    async with house.engine():
        assert (await house.place())[0] == 201
        assert (await house.place())[0] == 201
    assert len(house.orders) == 1


async def test_what_was_written_and_not_placed_is_found_and_cancelled_as_that(house):
    await house.place()
    with house.services.database.snapshot() as session:
        order_id = session.execute(text("SELECT id FROM api_order_requests")).scalar_one()
    async with house.engine():
        assert (await house.ask("GET", f"/v1/orders/{order_id}"))[1]["state"] == "unplaced"
        assert house.orders == [], "asking places nothing"
        status, answer = await house.ask("DELETE", f"/v1/orders/{order_id}?wait_ms=0")
        assert (status, answer["state"], answer["rule"]) == (200, "denied", "withdrawn")
        assert (await house.place())[1]["rule"] == "withdrawn", "the request that comes late finds it withdrawn"
        assert house.orders == []


async def test_an_order_is_cancelled(house):
    async with house.engine():
        placed = (await house.place())[1]
        house.door.report(OrderState.ACCEPTED)
        assert (await house.ask("DELETE", f"/v1/orders/{placed['id']}?wait_ms=0"))[0] == 200
        assert isinstance(house.door.log[-1], e.CancelRequested)
        house.door.report(OrderState.CANCELED)
        assert (await house.ask("DELETE", f"/v1/orders/{placed['id']}?wait_ms=0"))[1]["state"] == "canceled"


async def test_what_the_gate_refuses_is_an_answer_and_stays_one(house):
    async with house.engine():
        status, denied = await house.place(qty="500000")
        assert (status, denied["state"]) == (201, "denied")
        assert denied["rule"]
        assert await house.place(qty="500000") == (status, denied)


@pytest.mark.parametrize(
    "change",
    [{"side": "hold"}, {"price": "1e5"}, {"price": 3000}, {"qty": "-1"}, {"qty": ""}, {"colour": "red"},
     {"type": "stop"}, {"strategy": ""}, {"price": "2999.505"}, {"price": None}, {"instrument": "one:BTCUSDC"},
     {"type": "market"}],
)  # fmt: skip
async def test_what_cannot_be_is_refused_and_places_nothing(house, change):
    async with house.engine():
        assert (await house.place(**change))[0] == 422
    assert house.orders == []


async def test_anothers_strategies_and_orders_are_none(house):
    async with house.engine():
        placed = (await house.place())[1]
        house.gate.principal = replace(ANYBODY, organisation="org_other")
        for method, path, body in (
            ("POST", "/v1/orders", BODY),
            ("GET", f"/v1/orders/{placed['id']}", None),
            ("DELETE", f"/v1/orders/{placed['id']}", None),
            ("GET", "/v1/orders?strategy=desk", None),
            ("GET", f"/v1/fills?portfolio={house.portfolio}", None),
        ):
            assert (await house.ask(method, path, body, "key-0009"))[0] == 404
        assert (await house.ask("GET", "/v1/orders"))[1]["data"] == []
    assert len(house.orders) == 1


async def test_a_caller_of_some_portfolios_neither_sees_nor_cancels_an_order_of_another(house):
    async with house.engine():
        placed = (await house.place())[1]
        house.door.report(OrderState.ACCEPTED)
        house.gate.principal = replace(ANYBODY, portfolios=frozenset({"pf_0000000000000000"}))
        for method in ("GET", "DELETE"):
            assert (await house.ask(method, f"/v1/orders/{placed['id']}"))[0] == 404
        assert (await house.place(key="key-0002"))[0] == 404
    assert not [event for event in house.door.log if isinstance(event, e.CancelRequested)]
    assert len(house.orders) == 1


async def test_history_is_paged_by_cursors_that_belong_to_it(house):
    writer = HistoryWriter(house.services.database, house.door.desk.kernel, house_feed(house))
    async with house.engine():
        for n in range(5):
            await house.place(key=f"key-000{n}", price=f"29{n}0")
    for order in house.orders:
        writer._orders[order.client_order_id] = None
    await writer.flush()
    first = (await house.ask("GET", "/v1/orders?limit=2"))[1]
    second = (await house.ask("GET", f"/v1/orders?limit=2&cursor={first['next']}"))[1]
    third = (await house.ask("GET", f"/v1/orders?limit=2&cursor={second['next']}"))[1]
    prices = [row["price"] for page in (first, second, third) for row in page["data"]]
    assert prices == ["2940", "2930", "2920", "2910", "2900"]
    assert third["next"] is None
    for path in ("/v1/orders?state=open&cursor=", "/v1/fills?cursor=", "/v1/orders?cursor=x"):
        assert (await house.ask("GET", path + first["next"]))[1]["code"] == "invalid_cursor"
    assert len((await house.ask("GET", "/v1/orders?instrument=one:ETHUSDC&state=pending"))[1]["data"]) == 5
    assert (await house.ask("GET", "/v1/orders?state=filled"))[1]["data"] == []


def house_feed(house):
    return Feed(house.door.desk.kernel)
