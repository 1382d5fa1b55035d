"""Group commit: what many callers want booked at the same moment becomes durable together.

A disk syncs a few hundred times a second, however small the writes. So one thread books for all: it takes everything
that has queued up while the last commit was syncing, in one transaction. Each caller's unit is judged by itself, in
the order of asking, and each is answered only once that transaction is on the disk.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from custody.ledger.booking import Outcome, Unit, book
from domain import InvariantError, PlatformError, VenueUnavailable
from runtime.database import Database

_BATCH_MAX: Final = 1_000
_QUEUE_MAX: Final = 50_000
_TRIES: Final = 5
_GATHER_S: Final = 0.005


class GroupCommit:
    """The writer of one ledger. Its thread exists only once something was submitted, and ends with the process."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Unit, Future[tuple[bool, ...]]]] = deque()
        self._is_writing = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def submit(self, unit: Unit) -> Future[tuple[bool, ...]]:
        """Queue entries that stand or fall together; the future ends when they are durable, or with what refused them.

        Raises:
            VenueUnavailable: Tens of thousands wait already, or the process is ending.
        """
        future: Future[tuple[bool, ...]] = Future()
        with self._lock:
            if len(self._waiting) >= _QUEUE_MAX:
                raise VenueUnavailable("too many entries wait to be booked")
            self._waiting.append((unit, future))
            if self._is_writing:
                return future
            try:
                self._executor.submit(self._write)
            except RuntimeError as exc:  # the interpreter is shutting down
                self._waiting.pop()
                raise VenueUnavailable("the ledger takes nothing more: the process ends") from exc
            self._is_writing = True
        return future

    def _write(self) -> None:
        answered = 0
        while True:
            self._gather(answered)
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_MAX))]
                if not batch:
                    self._is_writing = False
                    return
            batch = [(unit, future) for unit, future in batch if future.set_running_or_notify_cancel()]
            answered = len(batch)
            try:
                outcomes = self._commit([unit for unit, _ in batch])
            except BaseException as exc:
                for _, future in batch:
                    future.set_exception(exc)
                continue
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if outcome.error is None:
                    future.set_result(outcome.booked)
                else:
                    future.set_exception(outcome.error)

    def _gather(self, answered: int) -> None:
        """Give those just answered a moment to ask again, while they do: a fuller batch serves everybody sooner."""
        if answered < 2:  # One caller asks again once it was answered: waiting would only slow it down.
            return
        waiting, deadline = -1, time.monotonic() + _GATHER_S
        while waiting < len(self._waiting) < answered and time.monotonic() < deadline:
            waiting = len(self._waiting)
            time.sleep(_GATHER_S / 10)

    def _commit(self, units: list[Unit]) -> list[Outcome]:
        tries = 0
        while True:
            tries += 1
            try:
                with self._database.transaction() as session:
                    return book(session, units, self._now_ns())
            except VenueUnavailable as exc:
                # A circle of waiting transactions was cut, and we were the one: nothing was kept.
                if tries == _TRIES or not _is_deadlock(exc):
                    raise
            except InvariantError as exc:
                # The database itself refused a row: find out whose, and book the others.
                if len(units) == 1:
                    return [Outcome(error=exc)]
                return [self._alone(unit) for unit in units]

    def _alone(self, unit: Unit) -> Outcome:
        try:
            return self._commit([unit])[0]
        except PlatformError as exc:
            return Outcome(error=exc)


def _is_deadlock(exc: VenueUnavailable) -> bool:
    return getattr(getattr(exc.__cause__, "orig", None), "sqlstate", None) == "40P01"
