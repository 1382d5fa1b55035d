"""A request is one trace from the API to the venue, and says nothing of what was said; off, it costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from api.portfolios.directory import create
from cli.engine_operator import Operator
from domain import InputError
from engine.runner import _traced
from runtime import tracing
from runtime.control import serve_control
from tests.api.lab import ANYBODY, Client, OpenGate, api_services, application
from tests.cli.test_engine_operator import Runner
from tests.engine.requests.test_client_orders import WANTED, Door

TOLD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    end = tracing.start("test", tracing.TracingSettings(), trusts_caller=True, exporter=exporter)
    yield exporter
    end()


@pytest.fixture
def door() -> Door:
    door = Door()
    door.desk.book(299_990, 300_010)
    return door


@pytest.fixture
def operator(door: Door) -> Operator:
    return Operator(Runner(door), None, {}, SimpleNamespace(reload=None), door.requests)


async def test_a_request_to_the_engine_is_one_trace(tmp_path, operator, exported) -> None:
    control = tmp_path / "engine.sock"
    with api_services(tmp_path, control=control) as services:
        with services.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
        client = Client(application(services, OpenGate()))
        async with serve_control(control, operator.handle):
            status, _, _ = await client.ask("GET", "/v1/strategies?limit=5", headers={"traceparent": TOLD})
    assert status == 200
    spans = {span.name: span for span in exported.get_finished_spans()}
    asked, door, engine = spans["GET /v1/strategies"], spans["engine.ask"], spans["engine.strategies"]
    assert f"{asked.context.trace_id:032x}" == TOLD.split("-")[1]
    assert {span.context.trace_id for span in spans.values()} == {asked.context.trace_id}
    assert (door.parent.span_id, engine.parent.span_id) == (asked.context.span_id, door.context.span_id)
    assert asked.attributes["organisation"] == ANYBODY.organisation
    assert asked.attributes["http.response.status_code"] == 200
    assert "limit" not in json.dumps([dict(span.attributes) for span in spans.values()])


async def test_an_order_goes_on_with_its_clients_trace_at_the_venue(door, operator, exported) -> None:
    class Venue:
        id = "one"

        async def place(self, _order):
            return 7

    answer = await operator.handle({"command": "place_order", **WANTED, "trace": TOLD})
    placed = SimpleNamespace(client_order_id=answer["client_order_id"])
    assert await _traced(placed, Venue()) == 7
    assert await _traced(placed, Venue()) == 7, "another's is no part of it"
    spans = {span.name: span for span in exported.get_finished_spans()}
    assert spans["venue.place"].parent.span_id == spans["engine.place_order"].context.span_id
    assert spans["venue.place"].attributes["client_order_id"] == placed.client_order_id
    assert len(exported.get_finished_spans()) == 2


async def test_of_what_went_wrong_only_the_kind_is_told(operator, exported) -> None:
    with pytest.raises(InputError):
        await operator.handle({"command": "stage", "stage": "password=hunter2"})
    (span,) = exported.get_finished_spans()
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, "InputError", ())
    with tracing.span("x", note="password=hunter2"):
        pass
    assert "hunter2" not in str([dict(one.attributes) for one in exported.get_finished_spans()])


async def test_off_nothing_is_kept_or_passed_on(door, operator) -> None:
    assert not tracing.is_on()
    with tracing.span("x") as span:
        assert span is None
    assert tracing.traceparent() == ""
    await operator.handle({"command": "place_order", **WANTED, "trace": TOLD})
    assert tracing.taken(WANTED["request"]) is None


def test_callers_from_outside_do_not_decide_what_is_traced() -> None:
    for trusts, share, count in ((False, 0.0, 0), (False, 1.0, 1), (True, 0.0, 1)):
        exporter = InMemorySpanExporter()
        settings = tracing.TracingSettings(sample=share)
        end = tracing.start("test", settings, trusts_caller=trusts, exporter=exporter)
        with tracing.span("x", parent=TOLD):
            pass
        assert len(exporter.get_finished_spans()) == count
        end()


def test_what_is_carried_is_bounded(exported, monkeypatch) -> None:
    monkeypatch.setattr(tracing, "CARRIED_MAX", 2)
    with tracing.span("x"):
        for key in "abc":
            tracing.carry(key)
    assert [tracing.taken(key) is not None for key in "abc"] == [False, True, True]
