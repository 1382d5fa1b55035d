"""The book on each database the product runs on, with two processes at it at once."""

from __future__ import annotations

import asyncio

import pytest
from sqlmodel import select

from api.alerts.rules import Finding
from api.alerts.tables import AlertRow
from api.core.errors import Conflict
from tests.api.alerts.lab import ORG, ROUTING_KEY, Desk, serve
from tests.api.alerts.pagerduty import PagerDuty
from tests.api.lab import api_services

DAY_NS = 24 * 3_600 * 10**9


@pytest.fixture
async def desk(database_url, tmp_path):
    pagerduty = PagerDuty(ROUTING_KEY)
    runner = await serve(pagerduty)
    try:
        with api_services(tmp_path, url=database_url) as services:
            yield Desk(services, tmp_path, pagerduty)
    finally:
        await runner.cleanup()


async def test_what_two_find_at_once_is_one_alert_told_once_and_forgotten_long_after(desk):
    channel = await desk.channel()
    finding = Finding(ORG, "engine.stopped", "engine", "stopped")

    def find(session):
        desk.book.open(session, finding)

    await asyncio.gather(*(desk.services.database.run(find) for _ in range(8)))
    (alert,) = await desk.alerts()
    desk.pagerduty.answers = [500]
    await desk.deliver()
    acknowledge = [desk.ask("POST", f"/v1/alerts/{alert['id']}/acknowledgements", {}) for _ in range(4)]
    assert [status for status, _ in await asyncio.gather(*acknowledge)] == [201] * 4
    await desk.over()
    await desk.deliver()
    assert [(row["kind"], row["state"]) for row in await desk.log(channel)] == [
        ("alert.resolved", "delivered"), ("alert.acknowledged", "superseded"), ("alert.opened", "superseded"),
    ]  # fmt: skip
    shown = (await desk.ask("GET", f"/v1/alerts/{alert['id']}"))[1]
    assert [event["event"] for event in shown["events"]] == ["opened", "acknowledged", "resolved"]
    await desk.find("drawdown", "rul_1")  # Still going on: never forgotten.
    now_ns = desk.services.clock.now_ns
    for days, left in ((399, 2), (2, 1)):
        desk.services.clock.advance(ns=days * DAY_NS)
        before_ns = now_ns() - 400 * DAY_NS
        await desk.services.database.run(lambda session, at=before_ns: desk.book.forget(session, at, 10))
        assert len(await desk.alerts()) == left


async def test_what_is_over_while_a_person_sees_to_it_stays_over(desk):
    """The watch ends an alert between a person's look and word: it waits for nobody who could end it again."""
    await desk.find()
    book, database = desk.book, desk.services.database
    with database.transaction() as session:
        (stale,) = session.exec(select(AlertRow)).all()
    await desk.over()
    with database.transaction() as session:
        held = session.merge(stale, load=False)
        with pytest.raises(Conflict):
            book.acknowledge(session, held, "ann", "")
        session.rollback()
    (alert,) = await desk.alerts()
    assert alert["state"] == "resolved"
