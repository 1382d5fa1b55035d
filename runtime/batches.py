"""Many small transactions as one: what callers want done at the same moment becomes durable by one commit.

A disk syncs a few hundred times a second, however little is written. So one thread writes for all: it takes everything
that queued up while the last commit was syncing. Each caller's work runs in the order of asking; one that raises is
undone alone (the batch is done again, behind savepoints), and each is answered only once the commit is on the disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlmodel import Session

from domain import OutcomeUnknown, VenueUnavailable
from runtime.database import Database

T = TypeVar("T")

_BATCH_MAX: Final = 256
_QUEUE_MAX: Final = 10_000


class Batches:
    """The writer of one process. Its thread exists only once something was submitted, and ends with the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[Session], Any], Future[Any]]] = deque()
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

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue `work` without waiting for it; see `run`."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if len(self._waiting) >= _QUEUE_MAX:
                raise VenueUnavailable("too many writes wait", hint="ask more slowly")
            self._waiting.append((work, future))
            if not self._is_writing:
                self._executor.submit(self._write)
                self._is_writing = True
        return future

    def _write(self) -> None:
        while True:
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
                if not batch:
                    self._is_writing = False
                    return
            self._carry_out(batch)

    def _carry_out(self, batch: list[tuple[Callable[[Session], Any], Future[Any]]], *, apart: bool = False) -> None:
        """Do a batch in one transaction; `apart` puts a savepoint around each, which costs as much as the work."""
        results: list[tuple[bool, Any]] = []
        try:
            with self._database.transaction() as session:
                for work, _ in batch:
                    results.append(_attempt(session, work) if apart else (True, work(session)))
        except BaseException as exc:
            if len(batch) == 1 or isinstance(exc, OutcomeUnknown):
                for _, future in batch:
                    future.set_exception(exc)
            elif not apart:
                # One raised, and took the others with it: again, so that it is undone alone.
                self._carry_out(batch, apart=True)
            else:
                # The commit failed; whose fault it was is found by doing each alone.
                for one in batch:
                    self._carry_out([one])
            return
        for (_, future), (is_done, result) in zip(batch, results, strict=True):
            if is_done:
                future.set_result(result)
            else:
                future.set_exception(result)


def _attempt(session: Session, work: Callable[[Session], Any]) -> tuple[bool, Any]:
    savepoint = session.begin_nested()
    try:
        result = work(session)
        savepoint.commit()
    except Exception as exc:
        savepoint.rollback()
        return False, exc
    return True, result
