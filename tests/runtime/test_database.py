"""Transactions are all or nothing, locks are exclusive, and foreign errors stay inside."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain import InputError, InvariantError, VenueUnavailable
from runtime.database import Database


@pytest.fixture
def database(empty_database_url: str) -> Database:
    opened = Database(empty_database_url)
    with opened.transaction() as session:
        session.execute(sa.text("CREATE TABLE numbers (n INTEGER UNIQUE)"))
    return opened


def add(database: Database, number: int) -> None:
    with database.transaction() as session:
        session.execute(sa.text("INSERT INTO numbers VALUES (:n)"), {"n": number})


def count(database: Database) -> int:
    with database.snapshot() as session:
        return int(session.execute(sa.text("SELECT COUNT(*) FROM numbers")).scalar_one())


def test_an_exception_undoes_the_whole_transaction(database: Database) -> None:
    with contextlib.suppress(KeyError), database.transaction() as session:
        session.execute(sa.text("INSERT INTO numbers VALUES (1)"))
        raise KeyError
    assert count(database) == 0


def test_errors_of_the_library_are_translated(database: Database, tmp_path: Path) -> None:
    add(database, 1)
    with pytest.raises(InvariantError):
        add(database, 1)
    with pytest.raises((InvariantError, VenueUnavailable)), database.transaction() as session:
        session.execute(sa.text("SELECT * FROM nowhere"))
    with pytest.raises(VenueUnavailable), Database(f"sqlite:///{tmp_path}/no/folder/x.db").transaction() as session:
        session.execute(sa.text("SELECT 1"))
    nobody = Database("postgresql://user:hunter2@127.0.0.1:1/x")
    with pytest.raises(VenueUnavailable) as error, nobody.transaction() as session:
        session.execute(sa.text("SELECT 1"))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_input_errors(url: str) -> None:
    with pytest.raises(InputError):
        Database(url)


def test_writers_on_threads_queue_and_lose_nothing(database: Database) -> None:
    threads = [threading.Thread(target=add, args=(database, n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 16


def test_who_waits_too_long_to_write_is_told_so_and_may_write_later(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("runtime.database._BUSY_TIMEOUT_MS", 30)
    database = Database.at(tmp_path / "a.db")
    with database.transaction() as session:
        session.execute(sa.text("CREATE TABLE numbers (n INTEGER UNIQUE)"))
    with database.transaction() as session:
        session.execute(sa.text("SELECT 1"))
        with pytest.raises(VenueUnavailable, match="locked"):
            add(database, 1)
    add(database, 2)
    assert count(database) == 1
    with database.snapshot() as session:
        assert session.execute(sa.text("PRAGMA busy_timeout")).scalar_one() == 30
    database.dispose()


async def test_a_cancelled_caller_waits_until_its_transaction_has_ended(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work(session: object) -> None:
        session.execute(sa.text("INSERT INTO numbers VALUES (7)"))  # type: ignore[attr-defined]
        entered.set()
        go_on.wait(60)

    task = asyncio.create_task(database.run(work))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert count(database) == 1


def test_a_writer_lock_is_exclusive_and_comes_back(database: Database, empty_database_url: str) -> None:
    other = Database(empty_database_url)
    with database.writer_lock("vault"):
        with pytest.raises(InputError, match="another process"), other.writer_lock("vault"):
            pass
        with other.writer_lock("another vault"):
            pass
    with other.writer_lock("vault"):
        pass
    other.dispose()
