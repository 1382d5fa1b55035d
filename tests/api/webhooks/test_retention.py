"""What was told long ago is forgotten; what is still to be told never is."""

from __future__ import annotations

from sqlmodel import func, select

from api.webhooks import retention
from api.webhooks.retention import Forgetter
from api.webhooks.tables import AttemptRow, DeliveryRow, EventRow
from tests.api.webhooks.test_webhooks import house as house  # noqa: PLC0414 - a fixture

DAY_NS = 24 * 3_600 * 10**9


def counts(house):
    with house.services.database.snapshot() as session:
        return tuple(
            session.exec(select(func.count()).select_from(t)).one() for t in (EventRow, DeliveryRow, AttemptRow)
        )


async def test_old_deliveries_go_with_their_events_and_those_that_wait_stay(house, monkeypatch):
    monkeypatch.setattr(retention, "PIECE", 2)
    made = await house.endpoint()
    for _ in range(5):
        await house.announce()
    await house.deliver()
    house.receiver.answers = [500]
    waiting = await house.announce()
    await house.deliver()
    house.services.clock.advance(ns=29 * DAY_NS)
    fresh = await house.announce()
    now_ns = house.services.clock.now_ns
    assert Forgetter(house.services.database, now_ns, days=30).run() == 0
    assert counts(house) == (7, 7, 6)
    house.services.clock.advance(ns=2 * DAY_NS)
    assert Forgetter(house.services.database, now_ns, days=30).run() == 5
    assert counts(house) == (2, 2, 1)
    assert [row["event"] for row in await house.log(made)] == [fresh, waiting]
    await house.deliver()
    assert [row["state"] for row in await house.log(made)] == ["delivered", "delivered"]
