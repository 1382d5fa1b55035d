"""Candles in the table: what was traded, through restarts and a database that is away, no longer than they are kept."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from api.candles import store
from api.candles.bars import DAY_S, HOUR_S, MINUTE_S
from api.candles.store import CandleWriter, kept_since, read_candles
from domain import VenueUnavailable
from domain import events as e
from tests.api.lab import START_NS, api_services
from tests.engine.strategies.desk import instrument

ETH = instrument("one")
START_S = START_NS // 10**9 // DAY_S * DAY_S


@pytest.fixture
def services(tmp_path):
    with api_services(tmp_path) as found:
        yield found


@pytest.fixture
def services_on_each(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as found:
        yield found


def writer(services):
    return CandleWriter(services.database, {ETH.id: ETH}, services.clock.now_ns)


def trade(to, second, ticks, lots=1_000, name=ETH.id):
    to.on_step(
        e.TradePrinted(
            time_ns=(START_S + second) * 10**9, instrument=name, price_ticks=ticks, qty_lots=lots, is_buyer_maker=True
        )
    )


def read(services, interval_s, *, since_s=None, before_s=START_S + DAY_S, limit=100):
    with services.database.snapshot() as session:
        found = read_candles(session, ETH.id, interval_s, since_s=since_s, before_s=before_s, limit=limit)
    return [(c.start_s - START_S, c.open, c.high, c.low, c.close, c.volume, c.quote, c.trades) for c in found]


D = Decimal


async def test_trades_become_candles_of_each_interval(services_on_each):
    services = services_on_each
    candles = writer(services)
    for second, ticks in ((5, 300_000), (30, 300_500), (59, 299_000), (60, 301_000), (3_600, 302_000)):
        trade(candles, second, ticks)
    trade(candles, 7, 1, name="one:UNKNOWN")
    await candles.flush()
    first = (0, D(3000), D(3005), D(2990), D(2990), D(3), D(8995), 3)
    assert read(services, MINUTE_S) == [
        (3_600, D(3020), D(3020), D(3020), D(3020), D(1), D(3020), 1),
        (60, D(3010), D(3010), D(3010), D(3010), D(1), D(3010), 1),
        first,
    ]
    assert read(services, 5 * MINUTE_S)[-1] == (0, D(3000), D(3010), D(2990), D(3010), D(4), D(12005), 4)
    assert [row[-1] for row in read(services, HOUR_S)] == [1, 4]
    assert [row[-1] for row in read(services, 4 * HOUR_S)] == [5]
    assert read(services, MINUTE_S, limit=1, before_s=START_S + 60) == [first]
    assert [row[0] for row in read(services, MINUTE_S, since_s=START_S + 60)] == [3_600, 60]


async def test_another_process_goes_on_with_what_is_there(services):
    first, second = writer(services), writer(services)
    trade(first, 1, 300_000)
    await first.flush()
    trade(second, 2, 299_000)
    trade(second, 3, 301_000)
    await second.flush()
    await second.flush()
    assert read(services, MINUTE_S) == [(0, D(3000), D(3010), D(2990), D(3010), D(3), D(9000), 3)]


async def test_a_page_ends_where_an_interval_does_however_many_spans_it_has(services_on_each, monkeypatch):
    services = services_on_each
    monkeypatch.setattr(store, "_CHUNK", 7)
    candles = writer(services)
    # Five minutes with one minute that traded, five with all, ten with none, five with two.
    minutes = (2, 5, 6, 7, 8, 9, 21, 24)
    for minute in minutes:
        trade(candles, minute * MINUTE_S, 300_000 + minute)
    await candles.flush()
    whole = [(20, 2), (5, 5), (0, 1)]
    for limit in (1, 2, 3, 4):
        found = read(services, 5 * MINUTE_S, limit=limit)
        assert [(row[0] // MINUTE_S, row[-1]) for row in found] == whole[:limit]
    before_s = START_S + 20 * MINUTE_S
    assert [row[-1] for row in read(services, 5 * MINUTE_S, before_s=before_s, limit=1)] == [5]
    for minute in (5, 30):
        trade(candles, minute * MINUTE_S, 1)
    await candles.flush()
    assert [row[-1] for row in read(services, 5 * MINUTE_S)] == [1, 2, 6, 1]


class Away:
    """A database that is away, once."""

    def __init__(self, database):
        self._database, self.is_away = database, True

    async def run(self, work):
        if self.is_away:
            self.is_away = False
            raise VenueUnavailable("the database does not answer")
        return await self._database.run(work)


async def test_what_could_not_be_written_is_written_later(services):
    candles = CandleWriter(Away(services.database), {ETH.id: ETH}, services.clock.now_ns)
    trade(candles, 1, 300_000)
    await candles.flush()
    assert read(services, MINUTE_S) == []
    trade(candles, 2, 301_000)
    await candles.flush()
    assert read(services, MINUTE_S) == [(0, D(3000), D(3010), D(3000), D(3010), D(2), D(6010), 2)]


async def test_minutes_are_forgotten_before_hours_and_hours_before_days(services_on_each):
    services = services_on_each
    candles = writer(services)
    age_s = {MINUTE_S: 31 * DAY_S, HOUR_S: 401 * DAY_S}
    for old_s in (*age_s.values(), 0):
        trade(candles, -old_s, 300_000)
    await candles.flush()
    with services.database.snapshot() as session:
        kept = {span: kept_since(session, ETH.id, span) for span in (MINUTE_S, HOUR_S, DAY_S)}
        left = session.execute(sa.text("SELECT span_s, COUNT(*) FROM api_candles GROUP BY span_s")).all()
    assert kept == {MINUTE_S: START_S, HOUR_S: START_S - 31 * DAY_S, DAY_S: START_S - 401 * DAY_S}
    assert dict(map(tuple, left)) == {MINUTE_S: 1, HOUR_S: 2, DAY_S: 3}
