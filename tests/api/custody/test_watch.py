"""The stream's `approvals`: what waits for people, to whom it concerns, told once for each change."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from api.custody.watch import AGAIN_NS, CHANNEL, ApprovalWatch
from api.streams.endpoint import Connection, Door
from custody.approvals import DatabaseApprovals, Verdict
from tests.api.custody.lab import TENANT, opened
from tests.api.lab import ANYBODY


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path) as house:
        services = house.services
        house.watch = ApprovalWatch(services.counter, services.directory, services.hub, services.clock)
        yield house


def reader(house, organisation):
    session = house.services.hub.open()
    house.services.hub.subscribe(session, CHANNEL, organisation)
    return session


async def told(house, session):
    """What a look tells a reader: (kind, changes), one for each message."""
    await house.watch.look()
    messages = [msgspec.json.decode(message) for message in session.take()]
    return [(message["t"], message["d"]) for message in messages]


async def test_what_waits_is_told_changed_and_taken_away(house):
    session = reader(house, ANYBODY.organisation)
    assert await told(house, session) == [("snap", {})]
    house.asks("swap-1")
    [(kind, changes)] = await told(house, session)
    one = (await house.ask("GET", "/approvals/swap-1"))[1]
    assert (kind, changes) == ("delta", {"swap-1": {name: one[name] for name in one if name != "intent"}})
    assert await told(house, session) == []
    given = house.signed("swap-1", "alice")
    await house.ask("POST", "/approvals/swap-1/signatures", given)
    [(_, changes)] = await told(house, session)
    assert [by["by"] for by in changes["swap-1"]["given"]] == ["alice"]
    await house.ask("POST", "/approvals/swap-1/signatures", house.signed("swap-1", "bob", Verdict.REJECT))
    assert await told(house, session) == [("delta", {"swap-1": None})]
    house.asks("swap-2")
    await told(house, session)
    house.services.clock.advance(seconds=3_601)
    assert await told(house, session) == [("delta", {"swap-2": None})]


async def test_signatures_are_gone_over_when_somebody_signed_and_now_and_then_besides(house, monkeypatch):
    session, read = reader(house, ANYBODY.organisation), []
    find = DatabaseApprovals.find_in

    def counted(self, session, intent_id):
        read.append(intent_id)
        return find(self, session, intent_id)

    for intent_id in ("swap-1", "swap-2"):
        house.asks(intent_id)
    monkeypatch.setattr(DatabaseApprovals, "find_in", counted)
    for _ in range(3):
        await told(house, session)
    assert sorted(read) == ["swap-1", "swap-2"]
    await house.ask("POST", "/approvals/swap-1/signatures", house.signed("swap-1", "alice"))
    read.clear()
    [(_, changes)] = await told(house, session)
    assert (read, list(changes)) == (["swap-1"], ["swap-1"])
    house.services.clock.advance(ns=AGAIN_NS)
    assert await told(house, session) == []
    assert sorted(read[1:]) == ["swap-1", "swap-2"]


async def test_each_organisation_is_told_of_its_own(house):
    tina = await house.tenant_client()
    theirs = (await house.withdraw(tina, "0.1", who=TENANT))[1]["id"]
    sessions = [reader(house, who.organisation) for who in (ANYBODY, TENANT)]
    for intent_id in (theirs, "swap-1"):
        house.asks(intent_id, vault="default")
    await house.watch.look()
    seen = [sorted(key for message in one.take() for key in msgspec.json.decode(message)["d"]) for one in sessions]
    assert seen == [sorted([theirs, "swap-1"]), [theirs]]


async def test_without_custody_or_readers_nothing_is_looked_up(house):
    services = house.services
    services.custody.database.dispose()
    object.__setattr__(services.custody, "database", None)  # Whoever looked would find out.
    await house.watch.look()
    reader(house, ANYBODY.organisation)
    await ApprovalWatch(None, services.directory, services.hub, services.clock).look()


def test_a_caller_of_some_portfolios_does_not_read_it(house):
    hub, directory = house.services.hub, house.services.directory
    connection = Connection(None, Door(hub, directory, None, None, lambda _name: True, lambda: 0))
    for portfolios, why in ((None, None), (frozenset({"pf_1"}), "this is for callers of all portfolios")):
        connection._who = replace(ANYBODY, portfolios=portfolios)
        assert connection._objection(CHANNEL, ANYBODY.organisation) == why
