"""`capstan engine reload`: checked, taken, recorded; a dry run changes nothing; files and pairs say the same."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest

from api.tables import open_tables
from cli.engine import read_changes
from cli.engine_reload import Reloader
from custody.audit import list_audit, verify_audit
from custody.tables import open_books
from domain import InputError
from engine.journal import Journal
from engine.runner import LiveRunner
from engine.setup import build_kernel
from engine.strategies.changes import changed
from engine.wiring import Wiring
from runtime import ManualClock
from runtime.database import Database
from tests.engine.markets import SECOND
from tests.engine.places import MemoryBooks
from tests.engine.strategies.test_reconfigure import OURS, run_config


@asynccontextmanager
async def engine(folder, *, wanted=None):
    """A running engine with its reloader; started again on the same journal when called again."""
    database = Database.at(folder / "books.db")
    open_tables(open_books(database))
    clock, config = ManualClock(SECOND), run_config()
    kernel, journal = build_kernel(config), Journal.open(folder / "journal.bin", config.to_header())
    runner = LiveRunner(kernel, journal, Wiring(venues={}, desk=None, bookkeeper=MemoryBooks(), clock=clock))
    reloader = Reloader(runner, database, clock.now_ns)
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(runner.run(stop, started=started.set))
    await started.wait()
    try:
        if wanted is not None:
            reloader.begin(wanted.settings.strategies)
            await reloader.settled()
        yield kernel, reloader, database
    finally:
        stop.set()
        await task
        journal.close()
        database.dispose()


def records(database):
    with database.snapshot() as session:
        rows = list_audit(session, kind="strategy.reconfigured")
        return [(row.subject, msgspec.json.decode(row.detail)) for row in rows]


def ask(changes, **more):
    return {"command": "reload", "strategy": "obi", "changes": changes, "by": "alice", "reason": "calm market", **more}


async def test_change_is_taken_and_recorded(tmp_path):
    async with engine(tmp_path) as (kernel, reloader, database):
        answer = await reloader.reload(ask({"enter": "0.75", "depth": 5}))
        assert answer == {"strategy": "obi", "changed": {"enter": ["0.6", "0.75"]}, "applied": True}
        assert kernel.parameters["obi"].enter == Decimal("0.75")
        [(subject, detail)] = records(database)
        assert subject == "strategy/obi"
        assert (detail["by"], detail["reason"], detail["outcome"]) == ("alice", "calm market", "taken")
        assert detail["changed"] == {"enter": ["0.6", "0.75"]}


@pytest.mark.parametrize("end", [asyncio.CancelledError(), RuntimeError("broken")])
async def test_what_ended_before_it_was_known_is_not_recorded_as_taken(tmp_path, monkeypatch, end):
    async def ends(*_):
        raise end

    async with engine(tmp_path) as (_, reloader, database):
        monkeypatch.setattr(LiveRunner, "reconfigure", ends)
        with pytest.raises(type(end)):
            await reloader.reload(ask({"enter": "0.75"}))
        [(_, detail)] = records(database)
        assert detail["outcome"].startswith("not known")


async def test_dry_run_and_what_is_refused_change_and_record_nothing(tmp_path):
    async with engine(tmp_path) as (kernel, reloader, database):
        assert not (await reloader.reload(ask({"enter": "0.75"}, dry_run=True)))["applied"]
        for changes in ({"instrument": "x:y"}, {"nothing": 1}, {"enter": "7"}):
            with pytest.raises(InputError):
                await reloader.reload(ask(changes))
        with pytest.raises(InputError, match="no strategy who"):
            await reloader.reload(ask({}) | {"strategy": "who"})
        assert kernel.parameters["obi"] == OURS
        assert records(database) == []


async def test_a_restart_keeps_it_and_takes_over_a_file_that_changed_since(tmp_path):
    async with engine(tmp_path) as (_, reloader, _):
        await reloader.reload(ask({"enter": "0.75"}))
    untouched, edited = run_config(), run_config(changed(OURS, {"enter": "0.8"}))
    async with engine(tmp_path, wanted=untouched) as (kernel, _, _):
        assert kernel.parameters["obi"].enter == Decimal("0.75")
    async with engine(tmp_path, wanted=edited) as (kernel, reloader, _):
        assert kernel.parameters["obi"].enter == Decimal("0.8")
        await reloader.reload(ask({"enter": "0.9"}))
    async with engine(tmp_path, wanted=edited) as (kernel, _, database):
        # The file says nothing new: what an operator said after it stands.
        assert kernel.parameters["obi"].enter == Decimal("0.9")
        assert [detail["source"] for _, detail in records(database)] == ["operator", "file", "operator"]
        assert verify_audit(database).is_sound


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "enter = 0.75\ndepth = 7"),
        ("a.yaml", "enter: '0.75'\ndepth: 7"),
        ("a.json", '{"enter": "0.75", "depth": 7}'),
        ("b.toml", "[[engine.strategies]]\nid='obi'\nenter='0.75'\ndepth=7\n[[engine.strategies]]\nid='other'"),
    ],
)
def test_files_and_pairs_say_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = changed(OURS, read_changes("obi", [str(tmp_path / name)]))
    assert found == changed(OURS, read_changes("obi", ["enter=0.75", "depth=7"]))


def test_file_of_other_strategies_is_refused(tmp_path):
    (tmp_path / "b.toml").write_text("[[engine.strategies]]\nid='other'\n[[engine.strategies]]\nid='another'")
    with pytest.raises(InputError, match="no strategy with the id obi"):
        read_changes("obi", [str(tmp_path / "b.toml")])
