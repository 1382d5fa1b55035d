"""Orders and trades of a run are in the tables as they were, once each, also when all is told again."""

from __future__ import annotations

import pytest
from sqlmodel import select

from api.history.tables import FillRow, OrderRow
from api.history.writer import HistoryWriter
from domain import OrderState, VenueUnavailable
from domain import events as e
from runtime.database import Database
from tests.api.lab import api_services
from tests.engine.feed.test_feed import Lab


class Ledger:
    def __init__(self):
        self.booked = []

    async def post_fills(self, fills):
        self.booked.append(list(fills))

    async def open_balances(self, location, balances):
        self.booked.append((location, balances))


@pytest.fixture
def database(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield services.database


@pytest.fixture
def lab():
    lab = Lab()
    lab.book(299_990, 300_010)
    return lab


def writer_of(lab: Lab, database: Database) -> HistoryWriter:
    writer = HistoryWriter(database, lab.desk.kernel, lab.feed)
    tell = lab.tell

    def both(event):
        commands = lab.desk.tell(event)
        lab.feed.on_step(event, commands)
        writer.on_step(event, commands)

    lab.tell = both
    assert tell is not both
    return writer


def rows(database, kind):
    with database.snapshot() as session:
        return [row.model_dump() for row in session.exec(select(kind).order_by(kind.id))]


async def test_orders_are_written_and_brought_up_to_date(lab, database):
    writer = writer_of(lab, database)
    first, second = lab.place(), lab.place()
    await writer.flush()
    assert [row["state"] for row in rows(database, OrderRow)] == ["pending", "pending"]
    lab.report(first, OrderState.ACCEPTED)
    lab.report(second, OrderState.REJECTED)
    await writer.flush()
    found = rows(database, OrderRow)
    assert [(row["client_order_id"], row["state"]) for row in found] == [
        (first.client_order_id, "accepted"),
        (second.client_order_id, "rejected"),
    ]
    assert (found[0]["price"], found[0]["qty"], found[0]["strategy"]) == ("2999.5", "0.5", "desk")


async def test_trades_are_written_once_after_they_are_booked(lab, database):
    writer, ledger = writer_of(lab, database), Ledger()
    bookkeeper = writer.wrap(ledger)
    order = lab.place()
    event = lab.fill(order, 200)
    batch = [("desk", event.fill, lab.desk.instruments[0])]
    await bookkeeper.post_fills(batch)
    await bookkeeper.post_fills(batch + batch)
    assert [(row["trade_id"], row["qty"], row["price"]) for row in rows(database, FillRow)] == [("1", "0.2", "2999.5")]
    assert len(ledger.booked) == 2
    await bookkeeper.open_balances("one", {"one/ETH": 1})
    assert ledger.booked[-1] == ("one", {"one/ETH": 1})


async def test_what_is_not_booked_is_not_in_the_history(lab, database):
    class Broken(Ledger):
        async def post_fills(self, fills):
            raise VenueUnavailable("no database")

    writer = writer_of(lab, database)
    event = lab.fill(lab.place(), 200)
    with pytest.raises(VenueUnavailable):
        await writer.wrap(Broken()).post_fills([("desk", event.fill, lab.desk.instruments[0])])
    assert rows(database, FillRow) == []


async def test_a_restart_writes_what_the_journal_knows(lab, database):
    writer = writer_of(lab, database)
    order = lab.place()
    lab.report(order, OrderState.ACCEPTED)
    # The process died before it wrote; the next one has replayed the journal.
    again = HistoryWriter(database, lab.desk.kernel, lab.feed)
    again.on_step(e.EngineRestarted(time_ns=0, epoch=1), [])
    await again.flush()
    await writer.flush()
    assert [row["state"] for row in rows(database, OrderRow)] == ["accepted"]


async def test_a_database_that_is_away_loses_nothing(lab, database, monkeypatch):
    writer = writer_of(lab, database)
    lab.place()

    async def away(_work):
        raise VenueUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(database, "run", away)
        with pytest.raises(VenueUnavailable):
            await writer.flush()
    await writer.flush()
    assert len(rows(database, OrderRow)) == 1
