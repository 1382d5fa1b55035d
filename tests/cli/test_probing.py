"""A worker finds out which components do not answer."""

from __future__ import annotations

import asyncio

from sqlmodel import select

from api.alerts.tables import AlertRow
from api.portfolios.directory import create
from api.tables import open_tables
from cli.data_dir import DataDir
from cli.jobs import Jobs
from cli.probing import probe
from cli.settings import Settings, load_settings
from cli.worker import _bodies, jobs_due
from runtime.tasks import run_alone

VENUES = ({"id": "none", "exchange": "binance", "instruments": ["BTCUSDT"]},)


def settings(**parts):
    return Settings.model_validate({"venues": VENUES, **parts})


async def test_a_signer_that_listens_is_well_and_what_nobody_serves_is_not(tmp_path):
    custody = {"account": "0x" + "1" * 40, "policy": {"chain_id": 1337}}
    chain = {"chain_id": 1337, "endpoints": ["http://127.0.0.1:9"], "address_book": "none.json"}
    live = settings(mode="live", custody=custody, chain=chain)
    data = DataDir(tmp_path)
    found = await probe(live, data)
    assert set(found) == {"chain", "signer"}
    assert all(found.values())
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), tmp_path / "signer.sock")
    async with server:
        assert (await probe(live, data))["signer"] == ""
    assert await probe(settings(), data) == {}


def test_the_workers_bodies_find_the_engine_away_and_have_nothing_to_tell_or_forget(tmp_path):
    data = DataDir(tmp_path)
    data.settings.write_text('[[venues]]\nid = "none"\nexchange = "binance"\ninstruments = ["BTCUSDT"]\n')
    loaded = load_settings(data.settings)
    jobs = Jobs(loaded, data)
    database = open_tables(jobs.open_database())
    with database.transaction() as session:
        create(session, "org_house", "main", 1, has_rest=True)
    for job in jobs_due(loaded):
        if job.name.startswith(("alerts.", "webhooks.")):
            assert run_alone(jobs.open_database, job.name, _bodies(jobs)[job.name], job.ids)
    with database.snapshot() as session:
        (alert,) = session.exec(select(AlertRow))
        assert (alert.organisation, alert.kind, alert.key, alert.state) == (
            "org_house", "component.down", "engine", "waiting",
        )  # fmt: skip
    database.dispose()
