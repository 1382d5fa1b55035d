"""Many callers' work as one commit: each stands alone, and what may be durable is not done again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from domain import InvariantError, OutcomeUnknown, VenueUnavailable
from runtime.batches import Batches
from runtime.database import Database


@pytest.fixture
def database(tmp_path: Path):
    database = Database.at(tmp_path / "b.db")
    with database.transaction() as session:
        session.execute(text("CREATE TABLE rows (n INTEGER PRIMARY KEY)"))
    yield database
    database.dispose()


def insert(n):
    def work(session):
        session.execute(text("INSERT INTO rows VALUES (:n)"), {"n": n})
        return n

    return work


def rows(database):
    with database.snapshot() as session:
        return list(session.execute(text("SELECT n FROM rows ORDER BY n")).scalars())


class Slow:
    """A database whose first transaction waits, so that a batch queues up behind it, and whose next ones may fail."""

    def __init__(self, database, failures):
        self._database, self._failures = database, failures
        self.hold = concurrent.futures.Future()
        self.began = threading.Event()
        self.transactions = 0

    @contextmanager
    def transaction(self):
        self.transactions += 1
        number = self.transactions
        with self._database.transaction() as session:
            self.began.set()
            if number == 1:
                self.hold.result(30)
            yield session
        if number > 1 and self._failures:
            raise self._failures.pop(0)


async def crowd(slow, works, kinds=None):
    """Have one work occupy the writer, then the others queue as one batch; give every answer.

    `kinds` are functions of `run_among`, one for each of what then is no work but what is asked of them.
    """
    slow.hold = concurrent.futures.Future()
    batches = Batches(slow)
    first = asyncio.ensure_future(batches.run(insert(0)))
    assert await asyncio.to_thread(slow.began.wait, 30)
    if kinds is None:
        others = [asyncio.ensure_future(batches.run(work)) for work in works]
    else:
        others = [asyncio.ensure_future(batches.run_among(kind, what)) for kind, what in zip(kinds, works, strict=True)]
    await asyncio.sleep(0)
    slow.hold.set_result(None)
    return await asyncio.gather(first, *others, return_exceptions=True)


async def test_a_crowd_is_one_commit(database):
    slow = Slow(database, [])
    assert await crowd(slow, [insert(n) for n in range(1, 21)]) == list(range(21))
    assert slow.transactions == 2
    assert rows(database) == list(range(21))


async def test_work_that_fails_takes_nobody_along(database):
    answers = await crowd(Slow(database, []), [insert(1), insert(1), insert(2)])
    assert (answers[1], answers[3]) == (1, 2)
    assert isinstance(answers[2], Exception)
    assert rows(database) == [0, 1, 2]


async def test_after_a_commit_of_which_nothing_is_known_nobody_is_done_again(database):
    """It was durable here: done again, the rows would be refused, or there twice."""
    slow = Slow(database, [OutcomeUnknown("lost while committing", request_id="")])
    answers = await crowd(slow, [insert(1), insert(2)])
    assert [type(answer) for answer in answers[1:]] == [OutcomeUnknown, OutcomeUnknown]
    assert slow.transactions == 2
    assert rows(database) == [0, 1, 2]


async def test_a_database_that_is_away_is_told_to_each(database):
    class Away:
        @contextmanager
        def transaction(self):
            raise VenueUnavailable("gone")
            yield

    with pytest.raises(VenueUnavailable):
        await Batches(Away()).run(insert(1))


async def test_too_many_are_turned_away_and_not_forgotten(database, monkeypatch):
    monkeypatch.setattr("runtime.batches._QUEUE_MAX", 1)
    answers = await crowd(Slow(database, []), [insert(1), insert(2)])
    assert (answers[1], type(answers[2])) == (1, VenueUnavailable)
    assert rows(database) == [0, 1]


class Kind:
    """Inserts numbers, and keeps which were asked of it by one call."""

    def __init__(self):
        self.calls = []

    def __call__(self, session, asked):
        self.calls.append(asked)
        for n in asked:
            insert(n)(session)
        return [-n for n in asked]


async def test_what_is_of_one_kind_and_follows_one_another_is_one_call(database):
    one, other = Kind(), Kind()
    answers = await crowd(Slow(database, []), [1, 2, 3, 4], [one, one, other, one])
    assert answers[1:] == [-1, -2, -3, -4]
    assert (one.calls, other.calls) == ([[1, 2], [4]], [[3]])
    assert rows(database) == [0, 1, 2, 3, 4]


async def test_of_one_kind_too_what_fails_takes_nobody_along(database):
    one = Kind()
    answers = await crowd(Slow(database, []), [1, 1, 2], [one, one, one])
    assert (answers[1], answers[3]) == (-1, -2)
    assert isinstance(answers[2], Exception)
    assert one.calls == [[1, 1, 2], [1], [1], [2]]
    assert rows(database) == [0, 1, 2]


async def test_a_kind_that_answers_too_little_answers_nobody(database):
    answers = await crowd(Slow(database, []), [1, 2], [lambda _session, _asked: []] * 2)
    assert [type(answer) for answer in answers[1:]] == [InvariantError, InvariantError]
    assert rows(database) == [0]
