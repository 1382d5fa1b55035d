"""An alert is opened once, told until somebody sees to it, and over when what raised it is."""

from __future__ import annotations

import pytest

from api.alerts.rules import Finding, rule_of
from api.alerts.states import TRANSITIONS, Event, State, after
from api.core.errors import Conflict
from api.webhooks import LADDER_S
from runtime.control import serve_control
from tests.api.alerts.lab import ORG
from tests.api.kill.test_kills import Engine

CHANNELS = "/v1/alert-channels"


async def test_the_life_of_an_alert_is_that_of_its_incident(desk):
    await desk.channel()
    await desk.find(summary="the engine stopped")
    (alert,) = await desk.alerts("?state=open")
    await desk.deliver()
    assert desk.pagerduty.incidents == {alert["id"]: "triggered"}
    sent = desk.pagerduty.got[0]
    assert sent["payload"]["summary"] == "the engine stopped"
    assert sent["payload"]["severity"] == "critical"
    assert sent["payload"]["custom_details"]["id"] == alert["id"]
    path = f"/v1/alerts/{alert['id']}"
    status, seen = await desk.ask("POST", f"{path}/acknowledgements", {"note": "on it"})
    assert (status, seen["state"], seen["acknowledged_by"]) == (201, "acknowledged", "key:key_anybody")
    assert (await desk.ask("POST", f"{path}/acknowledgements", {}))[1]["events"] == seen["events"]  # Once.
    await desk.deliver()
    assert desk.pagerduty.incidents == {alert["id"]: "acknowledged"}
    await desk.over()
    await desk.deliver()
    assert desk.pagerduty.incidents == {alert["id"]: "resolved"}
    shown = (await desk.ask("GET", path))[1]
    assert [(e["event"], e["actor"], e["note"]) for e in shown["events"]] == [
        ("opened", "capstan", ""), ("acknowledged", "key:key_anybody", "on it"), ("resolved", "capstan", ""),
    ]  # fmt: skip
    assert (await desk.ask("POST", f"{path}/acknowledgements", {}))[0] == 409
    await desk.find()
    assert len(await desk.alerts()) == 2  # A new one, for it is there again.


def test_nothing_happens_outside_the_table():
    for state in State:
        for event in Event:
            if (state, event) in TRANSITIONS:
                assert after(state, event) in State
            else:
                with pytest.raises(Conflict):
                    after(state, event)
    assert not [state for state, _ in TRANSITIONS if state is State.RESOLVED]


async def test_the_same_found_again_is_one_alert_and_an_event_is_counted_once(desk):
    await desk.channel()
    for seen_ns in (5, 5, 6, 4):
        await desk.find("account.differs", "unknown order", seen_ns=seen_ns)
    (alert,) = await desk.alerts()
    assert alert["count"] == 2
    await desk.deliver()
    assert len(desk.pagerduty.got) == 1
    status, _ = await desk.ask("POST", f"/v1/alerts/{alert['id']}/resolutions", {"note": "mine"})
    assert status == 201
    await desk.find("account.differs", "unknown order", seen_ns=6)
    assert await desk.alerts("?state=open") == []  # What a person called over is not raised by the same event again.
    await desk.find("account.differs", "unknown order", seen_ns=7)
    assert len(await desk.alerts("?state=open")) == 1


async def test_a_person_does_not_resolve_what_is_still_so(desk):
    await desk.find()
    (alert,) = await desk.alerts()
    status, problem = await desk.ask("POST", f"/v1/alerts/{alert['id']}/resolutions", {})
    assert (status, problem["code"]) == (409, "ends_by_itself")
    assert (await desk.alerts())[0]["state"] == "open"


async def test_what_could_not_be_told_gives_way_to_what_is_newer(desk):
    """Otherwise PagerDuty, back after an hour, would be told of an incident after it was told of its end."""
    channel = await desk.channel()
    await desk.find()
    desk.pagerduty.answers = [503]
    await desk.deliver()
    await desk.over()
    await desk.deliver()
    assert [(row["kind"], row["state"]) for row in await desk.log(channel)] == [
        ("alert.resolved", "delivered"), ("alert.opened", "superseded"),
    ]  # fmt: skip
    desk.pass_by(sum(LADDER_S))
    assert await desk.deliver() == 0
    assert desk.pagerduty.incidents == {}


async def test_unacknowledged_it_goes_up_to_the_third_level_and_acknowledged_no_further(desk):
    second, third = await desk.channel(level=2), await desk.channel(level=3)
    await desk.find()

    async def escalate():
        await desk.services.database.run(desk.book.escalate_due)
        return (await desk.alerts())[0]["level"]

    assert await escalate() == 1
    desk.pass_by(299)
    assert await escalate() == 1
    desk.pass_by(1)
    assert await escalate() == 2
    assert [row["kind"] for row in await desk.log(second)] == ["alert.escalated"]
    assert await desk.log(third) == []
    desk.pass_by(300)
    assert await escalate() == 3
    desk.pass_by(10**6)
    assert await escalate() == 3
    (alert,) = await desk.alerts()
    await desk.over()
    await desk.find()
    new = (await desk.alerts("?state=open"))[0]
    await desk.ask("POST", f"/v1/alerts/{new['id']}/acknowledgements", {})
    desk.pass_by(300)
    assert await escalate() == 1
    assert alert["id"] != new["id"]


async def test_a_finding_that_has_to_last_is_told_when_it_did_and_never_if_it_did_not(desk):
    channel = await desk.channel()
    await desk.find("component.down", "engine")
    assert await desk.alerts() == []
    await desk.over("component.down", "engine")
    desk.pass_by(60)
    await desk.find("component.down", "engine")
    assert await desk.alerts() == []  # It began anew.
    desk.pass_by(30)
    await desk.find("component.down", "engine")
    assert [alert["state"] for alert in await desk.alerts()] == ["open"]
    assert [row["kind"] for row in await desk.log(channel)] == ["alert.opened"]


async def test_keeping_opens_what_is_new_and_resolves_what_is_gone_of_these_kinds_alone(desk):
    await desk.find("engine.stopped", "old")
    await desk.find("delivery.failing", "whk")
    fresh = Finding(ORG, "engine.stopped", "new", "stopped")

    def keep(session):
        desk.book.keep(session, [fresh], frozenset({"engine.stopped"}))

    await desk.services.database.run(keep)
    await desk.services.database.run(keep)
    found = {(alert["kind"], alert["summary"]): alert["state"] for alert in await desk.alerts()}
    assert found == {
        ("engine.stopped", "stopped"): "open",
        ("engine.stopped", "engine.stopped of old"): "resolved",
        ("delivery.failing", "delivery.failing of whk"): "open",
    }


async def test_a_rule_says_how_bad_it_is_and_off_it_raises_nothing_and_ends_what_is_there(desk):
    await desk.find()
    path = "/v1/alert-rules/engine.stopped"
    assert (await desk.ask("PATCH", path, {"enabled": False, "severity": "warning"}))[1]["enabled"] is False
    await desk.find()
    assert [alert["state"] for alert in await desk.alerts()] == ["resolved"]
    await desk.find(key="another")
    assert len(await desk.alerts()) == 1
    assert (await desk.ask("PATCH", path, {"enabled": True}))[1]["severity"] == "warning"
    await desk.find()
    assert (await desk.alerts("?state=open"))[0]["severity"] == "warning"
    for _ in range(2):  # Of a kind that is as it is by itself there is nothing to delete.
        assert (await desk.ask("DELETE", path))[0] == 204
    rules = {rule["id"]: rule for rule in (await desk.ask("GET", "/v1/alert-rules"))[1]["data"]}
    assert rules["engine.stopped"]["severity"] == "critical"
    assert (await desk.ask("PATCH", path, {"limit": "5"}))[0] == 409
    assert (await desk.ask("PATCH", "/v1/alert-rules/no.such", {}))[0] == 404


async def test_a_press_of_the_kill_switch_is_an_alert_at_once_until_two_release_it(desk):
    await desk.channel()
    async with serve_control(desk.folder / "nobody.sock", Engine().handle):
        desk.become(user="usr_alice")
        _, press = await desk.ask("POST", "/v1/kills", {"target": "strategy", "name": "mm", "reason": "drill"})
        (alert,) = await desk.alerts()
        assert (alert["kind"], alert["state"], alert["detail"]["kill"]) == ("kill.pressed", "open", press["id"])
        assert "drill" in alert["summary"]
        path = f"/v1/kills/{press['id']}/releases"
        for user, state in (("usr_alice", "open"), ("usr_bob", "resolved")):
            desk.become(user=user, actor=f"user:{user}")
            assert (await desk.ask("POST", path, {"reason": "mended"}))[0] == 201
            assert (await desk.alerts())[0]["state"] == state
    shown = (await desk.ask("GET", f"/v1/alerts/{alert['id']}"))[1]
    assert shown["events"][-1]["actor"] == "user:usr_bob"


async def test_another_organisation_and_a_caller_of_another_portfolio_see_none_of_it(desk):
    channel = await desk.channel()
    await desk.find("drawdown", "rul_1", portfolio=desk.mm)
    await desk.find()
    whole, part = (await desk.alerts())[:2]
    desk.become(portfolios=frozenset({desk.mm}))
    assert [alert["id"] for alert in await desk.alerts()] == [part["id"]]
    assert (await desk.ask("GET", f"/v1/alerts/{whole['id']}"))[0] == 404
    for path in (CHANNELS, f"{CHANNELS}/{channel['id']}", "/v1/alert-rules"):
        status, problem = await desk.ask("GET", path)
        assert (status, problem["code"]) == (403, "all_portfolios_only")
    desk.become(organisation="org_other")
    assert await desk.alerts() == []
    for method, path, body in (
        ("GET", f"/v1/alerts/{whole['id']}", None), ("POST", f"/v1/alerts/{whole['id']}/acknowledgements", {}),
        ("POST", f"/v1/alerts/{whole['id']}/resolutions", {}), ("GET", f"{CHANNELS}/{channel['id']}", None),
        ("PATCH", f"{CHANNELS}/{channel['id']}", {"enabled": False}), ("DELETE", f"{CHANNELS}/{channel['id']}", None),
        ("POST", f"{CHANNELS}/{channel['id']}/tests", None), ("GET", f"{CHANNELS}/{channel['id']}/deliveries", None),
        ("POST", f"{CHANNELS}/{channel['id']}/verifications", {"code": "12345678"}),
        ("POST", "/v1/alert-rules", {"portfolio": desk.mm, "limit": "1"}),
    ):  # fmt: skip
        assert (await desk.ask(method, path, body))[0] == 404, (method, path)
    desk.become()
    assert (await desk.ask("GET", f"{CHANNELS}/{channel['id']}"))[1] == channel
    assert {alert["state"] for alert in await desk.alerts()} == {"open"}
    await desk.find(organisation="org_other")
    assert len(await desk.log(channel)) == 2  # Of its own two.


async def test_an_alert_that_is_named_as_anothers_rule_goes_by_its_own(desk):
    about = {"portfolio": desk.mm, "limit": "10", "escalate_s": 0}
    rule = (await desk.ask("POST", "/v1/alert-rules", about))[1]["id"]
    with desk.services.database.transaction() as session:
        own = rule_of(session, Finding(ORG, "drawdown", rule, "", rule=rule))
        other = rule_of(session, Finding("org_house", "engine.stopped", rule, "", rule=rule))
    assert (own.kind, own.escalate_s, other.kind, other.escalate_s) == ("drawdown", 0, "engine.stopped", 300)
