"""Alerts on the stream: as they stand, once more when they are over, to their organisation and portfolio."""

from __future__ import annotations

from api.alerts.feed import AlertFeed
from tests.api.alerts.lab import ORG
from tests.api.streams.client import View


def reader(hub, key):
    session, view = hub.open(), View()
    hub.subscribe(session, "alerts", key)

    def read():
        for message in session.take():
            view.take(message)
        return view

    return read


async def test_an_alert_is_on_its_channels_while_it_goes_on_and_told_once_more_when_it_is_over(desk):
    hub = desk.services.hub
    feed = AlertFeed(desk.services.database, hub)
    whole, part, other = reader(hub, ORG), reader(hub, desk.mm), reader(hub, desk.arb)
    await desk.find("component.down", "waiting")  # Nobody is to know yet.
    await desk.find()
    await desk.find("engine.stopped", "strategy/mm", portfolio=desk.mm)
    await feed.refresh()
    about = {alert["summary"]: alert for alert in await desk.alerts()}
    mine, everybodys = about["engine.stopped of strategy/mm"]["id"], about["engine.stopped of engine"]["id"]
    assert set(whole().state) == {mine, everybodys}
    assert set(part().state) == {mine}
    assert other().seq == 0
    await feed.refresh()
    assert part().seq == 1  # Nothing changed.
    await desk.ask("POST", f"/v1/alerts/{mine}/acknowledgements", {})
    await feed.refresh()
    assert part().state[mine]["state"] == "acknowledged"
    await desk.over("engine.stopped", "strategy/mm")
    await feed.refresh()
    assert part().state == {}
    assert part().events[mine]["state"] == "resolved"
    assert set(whole().state) == {everybodys}


async def test_who_has_many_alerts_takes_no_place_from_others(desk, monkeypatch):
    monkeypatch.setattr("api.alerts.feed.SHOWN_MAX", 1)
    hub = desk.services.hub
    mine, theirs = reader(hub, ORG), reader(hub, "org_house")
    await desk.find()
    for component in ("chain", "signer"):
        await desk.find("component.down", f"{component}", "org_house", detail={"component": component})
        desk.pass_by(30)
        await desk.find("component.down", f"{component}", "org_house", detail={"component": component})
    await AlertFeed(desk.services.database, hub).refresh()
    assert [alert["kind"] for alert in mine().state.values()] == ["engine.stopped"]
    assert [alert["detail"]["component"] for alert in theirs().state.values()] == ["signer"]


async def test_another_process_tells_the_same_from_when_it_began(desk):
    await desk.find()
    await AlertFeed(desk.services.database, desk.services.hub).refresh()
    (alert,) = await desk.alerts()
    assert set(reader(desk.services.hub, ORG)().state) == {alert["id"]}
