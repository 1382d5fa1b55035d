"""Strategies over HTTP: one's own, changed and paused by those who may; never started over the kill switch."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.api.kill.test_kills import ALICE, BOB, HOUSE, Desk
from tests.api.lab import JSON, api_services


@pytest.fixture
def desk(tmp_path):
    with api_services(tmp_path) as services:
        yield Desk(services, tmp_path)


async def test_a_press_that_comes_while_a_strategy_is_started_wins(desk):
    async with desk.running():
        await desk.ask("POST", "/v1/strategies/mm/pause", {"reason": "lunch"})

        async def press():
            assert (await desk.press(target="strategy", name="mm"))[0] == 201

        desk.engine.before["resume"] = press
        status, said = await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "back"})
        assert (status, said["code"]) == (409, "conflict")
        assert desk.engine.stages == {"mm": "cancel"}


async def patch(desk, strategy, body):
    path = f"/v1/strategies/{strategy}/parameters"
    answer = await desk.client.full("PATCH", path, json.dumps(body).encode(), headers=JSON)
    return answer.status, json.loads(answer.body)


async def test_one_sees_ones_own(desk):
    async with desk.running():
        found = (await desk.ask("GET", "/v1/strategies"))[1]["data"]
        assert [one["id"] for one in found] == ["mm", "arb"]
        assert (found[0]["portfolio"], found[0]["stage"], found[0]["parameters"]) == (desk.mm, "running", {"qty": "1"})
        assert (await desk.ask("GET", "/v1/strategies/mm"))[1] == found[0]
        desk.gate.principal = HOUSE
        assert [one["id"] for one in (await desk.ask("GET", "/v1/strategies"))[1]["data"]] == ["house"]
        for path in ("/v1/strategies/mm", "/v1/strategies/nobody"):
            assert (await desk.ask("GET", path))[0] == 404


async def test_parameters_are_changed_by_the_engine_in_the_callers_name(desk):
    async with desk.running():
        changed = await patch(desk, "mm", {"changes": {"qty": "2"}})
        assert changed == (200, {"strategy": "mm", "changed": {"qty": ["1", "2"]}, "applied": True})
        assert (await patch(desk, "mm", {"changes": {"qty": "2"}, "dry_run": True}))[1]["applied"] is False
        assert desk.engine.told[0] == ("reload", "mm", ALICE.actor)
        told = len(desk.engine.told)
        assert (await patch(desk, "house", {"changes": {"qty": "2"}}))[0] == 404
        for body in ({"changes": {}}, {}, {"changes": {"qty": "2"}, "colour": "red"}, {"changes": []}):
            assert (await patch(desk, "mm", body))[0] == 422
        assert len(desk.engine.told) == told


async def test_a_strategy_is_paused_and_started(desk):
    async with desk.running():
        assert (await desk.ask("POST", "/v1/strategies/mm/pause", {"reason": "lunch"}))[1]["stage"] == "cancel"
        assert (await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "back"}))[1]["stage"] == "running"
        assert (await desk.ask("POST", "/v1/strategies/house/pause", {"reason": "x"}))[0] == 404


async def test_what_a_limit_stopped_is_started_by_two_people_and_not_by_one(desk):
    async with desk.running():
        desk.engine.stages["mm"], desk.engine.rules["mm"] = "flatten", "daily_loss"
        status, refused = await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "please"})
        assert (status, "daily_loss" in refused["detail"]) == (409, True)
        assert desk.engine.stages["mm"] == "flatten"
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        await desk.release(kill, ALICE)
        await desk.release(kill, BOB)
        assert "mm" not in desk.engine.stages


async def test_what_the_kill_switch_holds_is_not_started(desk):
    async with desk.running():
        kill = (await desk.press(target="strategy", name="mm"))[1]["id"]
        held = await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "please"})
        assert (held[0], kill in held[1]["detail"]) == (409, True)
        await desk.release(kill, ALICE)
        await desk.release(kill, BOB)
        await desk.ask("POST", "/v1/strategies/mm/pause", {"reason": "x"})
        assert (await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "y"}))[0] == 200
        # The house's press of everything holds each.
        desk.gate.principal = HOUSE
        await desk.press()
        desk.gate.principal = replace(ALICE)
        assert (await desk.ask("POST", "/v1/strategies/mm/start", {"reason": "y"}))[0] == 409
