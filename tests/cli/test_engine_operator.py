"""The engine's commands on its socket: what cannot be is refused by name, a stage is of the run or of one strategy."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.engine_operator import Operator
from domain import InputError, OutcomeUnknown
from engine.edge.words import STAGES
from tests.engine.requests.test_client_orders import WANTED, Door


class Runner:
    """A runner whose kernel comes to everything at once, or to nothing."""

    def __init__(self, door):
        self.door = door
        self.kernel = door.desk.kernel
        self.is_stuck = False

    def emit(self, event):
        if not self.is_stuck:
            self.door.tell(event)

    def now_ns(self):
        return self.kernel.now_ns

    async def until_stage(self, number, strategy, _timeout_s):
        if self.is_stuck:
            raise OutcomeUnknown("not yet", request_id="stage")
        assert self.kernel.native is not None


@pytest.fixture
def door():
    door = Door()
    door.desk.book(299_990, 300_010)
    return door


@pytest.fixture
def operator(door):
    class NoReloader:
        async def reload(self, request):
            raise InputError("nothing to reload")

    return Operator(Runner(door), None, {}, NoReloader(), door.requests)


async def test_one_strategy_is_stopped_and_resumed(door, operator):
    answer = await operator.handle({"command": "stage", "stage": "cancel", "strategy": "desk", "reason": "drill"})
    assert answer == {"stage": "cancel", "strategy": "desk"}
    assert (door.desk.kernel.stage, door.desk.kernel.stages) == ("running", {"desk": "cancel"})
    refused = await operator.handle({"command": "place_order", **WANTED})
    assert (refused["state"], refused["rule"]) == ("denied", "stage")
    await operator.handle({"command": "resume", "strategy": "desk"})
    assert door.desk.kernel.stages == {"desk": "running"}
    assert (await operator.handle({"command": "place_order", **WANTED, "request": "again"}))["state"] == "pending"


async def test_strategies_are_told_with_what_they_run_with(door, operator):
    await operator.handle({"command": "stage", "stage": "reduce", "strategy": "desk"})
    (found,) = (await operator.handle({"command": "strategies"}))["strategies"]
    parameters = found.pop("parameters")
    assert found == {
        "id": "desk", "kind": "client-orders", "instruments": ["one:ETHUSDC"], "venues": ["one"], "stage": "reduce",
        "stopped_by": "operator",
    }  # fmt: skip
    assert parameters["market_reach_bps"] == "50"


async def test_a_run_that_is_resumed_takes_its_strategies_along(door, operator):
    await operator.handle({"command": "stage", "stage": "cancel", "strategy": "desk"})
    await operator.handle({"command": "stage", "stage": "reduce"})
    assert door.desk.kernel.stage == "reduce"
    await operator.handle({"command": "resume"})
    assert (door.desk.kernel.stage, door.desk.kernel.stages) == ("running", {})


async def test_a_run_that_is_resumed_alone_leaves_what_is_stopped_for_itself(door, operator):
    await operator.handle({"command": "stage", "stage": "cancel", "strategy": "desk"})
    await operator.handle({"command": "stage", "stage": "reduce"})
    await operator.handle({"command": "resume", "run_alone": True})
    assert (door.desk.kernel.stage, door.desk.kernel.stages) == ("running", {"desk": "cancel"})
    (found,) = (await operator.handle({"command": "strategies"}))["strategies"]
    assert (found["stage"], found["stopped_by"]) == ("cancel", "operator")


@pytest.mark.parametrize(
    "request_",
    [
        {"command": "sing"}, {}, {"command": "stage"}, {"command": "stage", "stage": "running"},
        {"command": "stage", "stage": "cancel", "strategy": "nobody"}, {"command": "resume", "strategy": "nobody"},
        {"command": "place_order", **WANTED, "wait_s": -1}, {"command": "place_order", **WANTED, "wait_s": "1"},
        {"command": "place_order", **WANTED, "wait_s": True}, {"command": "cancel_order"},
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_and_changes_nothing(door, operator, request_):
    with pytest.raises(InputError):
        await operator.handle(request_)
    assert door.log == []


async def test_figures_say_how_the_run_stands(door, operator):
    await operator.handle({"command": "place_order", **WANTED})
    await operator.handle({"command": "stage", "stage": "cancel", "strategy": "desk"})
    text = (await operator.handle({"command": "metrics"}))["text"]
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["capstan_kill_stage", ("strategy", "")] == 0
    assert found["capstan_kill_stage", ("strategy", "desk")] == STAGES.index("cancel")
    assert found["capstan_drawdown", ("strategy", "")] == found["capstan_drawdown", ("strategy", "desk")] == 0
    assert found["capstan_result", ("strategy", "desk")] == 0
    assert found["capstan_swaps_in_flight",] == 0
    assert found["capstan_engine_process_cpu_seconds_total",] > 0
    assert ("capstan_event_queue",) in found, "what is counted as it happens is there too"


async def test_a_stage_that_is_not_reached_yet_is_said_to_be_open(operator):
    operator._runner.is_stuck = True
    with pytest.raises(OutcomeUnknown):
        await operator.handle({"command": "stage", "stage": "cancel"})
