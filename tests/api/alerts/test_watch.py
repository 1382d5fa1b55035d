"""The watch brings the book to how things stand, and leaves alone what it cannot know."""

from __future__ import annotations

import pytest

from api.alerts.watch import Watch
from api.custody.tables import VaultRow
from api.webhooks import LADDER_S
from api.webhooks.tables import EndpointRow
from custody.approvals.tables import ApprovalRequestRow, ApprovalRow
from custody.transactions.tables import TransactionRow
from domain import VenueUnavailable
from tests.api.alerts.lab import ORG

CALM = {"stage": "running", "rule": None, "result": "0"}


class Engine:
    """Answers as its door does; None is away."""

    def __init__(self):
        self.standing = {"stage": "running", "strategies": {"mm": CALM, "arb": CALM}, "differs": []}
        self.venues = [{"id": "one", "failure": None, "is_connected": True}]
        self.is_away = False

    def set(self, strategy, **changes):
        self.standing["strategies"][strategy] = self.standing["strategies"][strategy] | changes

    async def ask(self, command, *, timeout_s):
        if self.is_away:
            raise VenueUnavailable("nobody listens at /var/lib/capstan/engine.sock")
        return {"standing": self.standing, "venues": {"venues": self.venues}}[command]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def watch(desk, engine):
    async def run(probe=None):
        s = desk.services
        await Watch(s.database, engine, s.clock.now_ns, probe).run()
        return {(alert["kind"], alert["portfolio"]): alert["state"] for alert in await desk.alerts("?state=open")}

    return run


async def test_a_drawdown_is_raised_once_beyond_its_limit_and_over_when_it_recovered(desk, engine, watch):
    status, rule = await desk.ask("POST", "/v1/alert-rules", {"portfolio": desk.mm, "limit": "10"})
    assert status == 201
    await desk.channel()
    for result, is_raised in (("5", False), ("100", False), ("90", False), ("89", True), ("91", True), ("95", False)):
        engine.set("mm", result=result)
        assert (("drawdown", desk.mm) in await watch()) is is_raised, result
    (alert,) = await desk.alerts()
    assert (alert["state"], alert["detail"]["peak"]) == ("resolved", "100")
    engine.set("mm", result="80")
    assert ("drawdown", desk.mm) in await watch()
    shown = (await desk.ask("GET", "/v1/alert-rules"))[1]["data"][-1]
    assert (shown["id"], shown["peak"]) == (rule["id"], "100")
    assert (await desk.ask("PATCH", f"/v1/alert-rules/{rule['id']}", {"limit": "10"}))[1]["peak"] is None
    assert await watch() == {}  # Measured anew from here.
    engine.set("mm", result="60")
    assert ("drawdown", desk.mm) in await watch()
    assert (await desk.ask("DELETE", f"/v1/alert-rules/{rule['id']}"))[0] == 204
    assert await desk.alerts("?state=open") == []


async def test_what_cannot_be_known_now_leaves_alerts_as_they_are(desk, engine, watch):
    await desk.ask("POST", "/v1/alert-rules", {"portfolio": desk.mm, "limit": "10"})
    await watch()
    engine.set("mm", result="-11", stage="cancel", rule="loss-day")
    raised = {("drawdown", desk.mm): "open", ("engine.stopped", desk.mm): "open"}
    assert await watch() == raised
    engine.set("mm", result=None)
    assert await watch() == raised
    engine.is_away = True
    assert await watch() == raised
    engine.is_away = False
    engine.set("mm", result="0", stage="running")
    assert await watch() == {}


async def test_a_component_that_stays_away_is_the_houses_and_over_when_it_answers(desk, engine, watch):
    engine.is_away = True

    async def probe():
        return {"signer": "no answer", "chain": ""}

    assert await watch(probe) == {}
    desk.pass_by(30)
    assert await watch(probe) == {}  # Not of Acme, whose desk this is.
    desk.become(organisation="org_house")
    found = {alert["summary"]: alert["state"] for alert in await desk.alerts()}
    assert found == {
        "engine does not answer: nobody listens": "open", "signer does not answer: no answer": "open",
    }  # fmt: skip
    engine.is_away = False
    await watch()
    assert {alert["state"] for alert in await desk.alerts()} == {"resolved"}


async def test_an_exchange_whose_books_cannot_be_trusted_is_a_component_that_is_down(desk, engine, watch):
    desk.become(organisation="org_house")
    engine.venues = [
        {"id": "one", "failure": None, "is_connected": True}, {"id": "two", "failure": None, "is_connected": False},
        {"id": "three", "failure": "banned", "is_connected": True},
    ]  # fmt: skip
    await watch()
    desk.pass_by(30)
    await watch()
    assert {alert["summary"] for alert in await desk.alerts()} == {
        "venue two does not answer: not connected", "venue three does not answer: banned",
    }  # fmt: skip
    engine.is_away = True  # Whether they are back is not known, so they are not told as back.
    await watch()
    engine.is_away, engine.venues = False, engine.venues[:2]
    await watch()
    assert {alert["summary"][:9]: alert["state"] for alert in await desk.alerts()} == {
        "venue two": "open", "venue thr": "resolved",
    }  # fmt: skip
    assert {alert["count"] for alert in await desk.alerts()} == {1}


async def test_what_accounts_differ_in_is_raised_once_and_ends_by_a_person(desk, engine, watch):
    desk.become(organisation="org_house")
    detail = {"finding": "unknown-order", "detail": "x1 is open", "order": "x1"}
    engine.standing["differs"] = [{"detail": detail, "time_ns": "7"}]
    await watch()
    engine.standing["differs"] = []
    assert await watch() == {("account.differs", None): "open"}
    (alert,) = await desk.alerts()
    assert (await desk.ask("POST", f"/v1/alerts/{alert['id']}/resolutions", {"note": "ours"}))[0] == 201
    engine.standing["differs"] = [{"detail": detail, "time_ns": "7"}]
    assert await watch() == {}
    engine.standing["differs"] = [{"detail": detail, "time_ns": "8"}]
    assert await watch() == {("account.differs", None): "open"}


async def test_approvals_wait_until_enough_signed_one_rejected_or_their_time_is_over(desk, watch, monkeypatch):
    desk.become(organisation="org_house")
    now_s = desk.services.clock.now_ns() // 10**9

    def ask(name, *verdicts):
        with desk.services.database.transaction() as session:
            session.add(
                ApprovalRequestRow(
                    intent_id=name, intent="{}", text="", digest="0", requirements='[["treasury", 2, "large"]]',
                    expires_s=now_s + 600, opened_ns=1,
                )
            )  # fmt: skip
            session.flush()
            for at, verdict in enumerate(verdicts):
                row = ApprovalRow(intent_id=name, approver=f"p{at}", key=f"k{at}", verdict=verdict, proof="", counter=0)
                row.time_ns = 1
                session.add(row)

    with desk.services.database.transaction() as session:
        session.add(VaultRow(name="hot", organisation=ORG, changed_ns=1))
        session.add(
            TransactionRow(
                intent_id="theirs", strategy="desk", purpose="transfer", chain_id=1, sender="0x" + "11" * 20,
                vault="hot", plan="{}", state="created", created_ns=1,
            )
        )  # fmt: skip
    ask("waits", "approve")
    ask("signed", "approve", "approve")
    ask("rejected", "reject")
    await watch()
    assert [alert["summary"] for alert in await desk.alerts()] == ["waits waits for approval: 1 of 2"]
    # Of each organisation so many: what waits with one takes nothing from another.
    monkeypatch.setattr("api.alerts.facts.WAITING_MAX", 1)
    ask("more")
    ask("theirs")
    await watch()
    assert [alert["detail"]["intent"] for alert in await desk.alerts()] == ["waits"]
    desk.become()
    assert [alert["detail"]["intent"] for alert in await desk.alerts()] == ["theirs"]
    desk.become(organisation="org_house")
    desk.pass_by(600)
    assert await watch() == {}


async def test_a_receiver_that_cannot_be_told_is_an_alert_until_it_is_told_again(desk, watch):
    channel, other = await desk.channel(), await desk.channel(level=3)
    await desk.find()
    desk.pagerduty.answers = [500] * 4
    for wait_s in LADDER_S[:4]:
        assert ("delivery.failing", None) not in await watch()
        await desk.deliver()
        desk.pass_by(wait_s)
    assert ("delivery.failing", None) in await watch()
    (alert,) = [one for one in await desk.alerts() if one["kind"] == "delivery.failing"]
    assert alert["detail"]["receiver"] == channel["id"]
    await desk.deliver()
    assert ("delivery.failing", None) not in await watch()
    with desk.services.database.transaction() as session:
        row = session.get(EndpointRow, other["id"])
        row.enabled, row.disabled_reason = False, "the receiver answered 410 Gone"
    assert ("delivery.failing", None) in await watch()
    await desk.ask("DELETE", f"/v1/alert-channels/{other['id']}")
    assert ("delivery.failing", None) not in await watch()


async def test_a_watch_escalates_what_nobody_acknowledged(desk, engine, watch):
    engine.set("mm", stage="cancel", rule="loss-day")
    await watch()
    desk.pass_by(300)
    await watch()
    (alert,) = await desk.alerts()
    assert alert["level"] == 2
