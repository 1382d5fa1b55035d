"""Many small transactions as one: what callers want done at the same moment becomes durable by one commit.

A disk syncs a few hundred times a second, however little is written. So one thread writes for all: it takes everything
that queued up while the last commit was syncing. Each caller's work runs in the order of asking; one that raises is
undone alone (the batch is done again, behind savepoints), and each is answered only once the commit is on the disk.

Work of one kind may be done for several callers by one function (`run_among`), which then asks the database once for
what it would have asked for each.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar

from sqlmodel import Session

from domain import InvariantError, OutcomeUnknown, VenueUnavailable
from runtime.database import Database

A = TypeVar("A")
T = TypeVar("T")

_BATCH_MAX: Final = 256
_QUEUE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one caller waits for."""

    carry_out: Callable[[Session, list[Any]], Sequence[Any]]
    what: Any
    future: Future[Any] = field(default_factory=Future)


class Batches:
    """The writer of one process. Its thread exists only once something was submitted, and ends with the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: deque[_Asked] = deque()
        self._is_writing = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction shared with others, and answer when it is durable.

        `work` may run several times (when another's raised, or the shared commit failed), and must do nothing but read
        and write this session.
        A cancelled caller's work is done all the same.

        Raises:
            VenueUnavailable: The database does not answer, or thousands wait already; nothing was changed.
            OutcomeUnknown: The connection was lost while committing: it may be durable, and is not done again here.
            Exception: Whatever `work` raised; nothing of it was kept.
        """
        return await asyncio.wrap_future(self.submit(work))

    async def run_among(self, carry_out: Callable[[Session, list[A]], Sequence[T]], what: A) -> T:
        """Have `what` carried out together with what others asked of the same function; see `run`.

        Args:
            carry_out: Given what was asked of it by several callers in a row, in that order, gives each one's result.
                When it raises, it is given each alone again: what raises then is what that caller gets.
            what: The caller's own.
        """
        return await asyncio.wrap_future(self._submit(_Asked(carry_out, what)))

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue `work` without waiting for it; see `run`."""
        return self._submit(_Asked(_each, work))

    def _submit(self, asked: _Asked) -> Future[Any]:
        asked.future.set_running_or_notify_cancel()
        with self._lock:
            if len(self._waiting) >= _QUEUE_MAX:
                raise VenueUnavailable("too many writes wait", hint="ask more slowly")
            self._waiting.append(asked)
            if not self._is_writing:
                self._executor.submit(self._write)
                self._is_writing = True
        return asked.future

    def _write(self) -> None:
        while True:
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
                if not batch:
                    self._is_writing = False
                    return
            self._carry_out(batch)

    def _carry_out(self, batch: list[_Asked], *, apart: bool = False) -> None:
        """Do a batch in one transaction; `apart` puts a savepoint around each, which costs as much as the work."""
        results: list[tuple[bool, Any]] = []
        try:
            with self._database.transaction() as session:
                if apart:
                    results.extend(_attempt(session, asked) for asked in batch)
                else:
                    results.extend((True, result) for result in _together(session, batch))
        except BaseException as exc:
            if len(batch) == 1 or isinstance(exc, OutcomeUnknown):
                for asked in batch:
                    asked.future.set_exception(exc)
            elif not apart:
                # One raised, and took the others with it: again, so that it is undone alone.
                self._carry_out(batch, apart=True)
            else:
                # The commit failed; whose fault it was is found by doing each alone.
                for asked in batch:
                    self._carry_out([asked])
            return
        for asked, (is_done, result) in zip(batch, results, strict=True):
            if is_done:
                asked.future.set_result(result)
            else:
                asked.future.set_exception(result)


def _each(session: Session, works: list[Callable[[Session], Any]]) -> list[Any]:
    return [work(session) for work in works]


def _together(session: Session, batch: list[_Asked]) -> list[Any]:
    """Carry out a batch in its order, what follows one another and is of one kind by one call."""
    results: list[Any] = []
    for carry_out, group in groupby(batch, attrgetter("carry_out")):
        asked = [one.what for one in group]
        told = carry_out(session, asked)
        if len(told) != len(asked):
            raise InvariantError(f"{len(asked)} were asked for, {len(told)} results came")
        results.extend(told)
    return results


def _attempt(session: Session, asked: _Asked) -> tuple[bool, Any]:
    savepoint = session.begin_nested()
    try:
        (result,) = _together(session, [asked])
        savepoint.commit()
    except Exception as exc:
        savepoint.rollback()
        return False, exc
    return True, result
