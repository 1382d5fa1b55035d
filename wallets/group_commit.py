"""One thread that writes a SQLite file for many: what waits together is made durable together.

A disk syncs a few hundred times a second, however small the writes. So the writer takes everything that has queued up
while it was syncing, runs each piece in a savepoint of its own (one that raises leaves nothing behind), and commits
once. Nobody is answered before that commit is on the disk. Pieces run one after another: each sees all before it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from domain import VenueUnavailable

Run = Callable[..., sqlite3.Cursor]
"""Executes one statement inside the transaction."""
_Result = TypeVar("_Result")
_BATCH_MAX: Final = 256
_QUEUE_MAX: Final = 4096


class GroupCommitter:
    """Takes over a connection made with `isolation_level=None` and `check_same_thread=False`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: queue.Queue[tuple[Callable[[Run], Any], Future[Any]] | None] = queue.Queue(_QUEUE_MAX)
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._write, name="journal.writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Run], _Result]) -> Future[_Result]:
        """Queue a piece of work; its future ends when the result is durable, or with what it raised.

        The future raises `VenueUnavailable` when the file cannot be written: then nothing of the batch was kept.

        Raises:
            VenueUnavailable: Closed, or thousands are waiting already.
        """
        future: Future[_Result] = Future()
        with self._closing:
            if self._is_closed:
                raise VenueUnavailable("the signing journal is closed")
            try:
                self._queue.put_nowait((work, future))
            except queue.Full as exc:
                raise VenueUnavailable("too many requests wait for the signing journal") from exc
        return future

    def close(self) -> None:
        """Write what is queued, then close the connection."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            try:
                answers = self._commit(batch)
            except sqlite3.Error as exc:
                failure = VenueUnavailable(f"the signing journal cannot be written: {exc}")
                answers = [(future, None, failure) for _, future in batch]
            for future, result, error in answers:
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

    def _take(self) -> tuple[list[tuple[Callable[[Run], Any], Future[Any]]], bool]:
        """Wait for one piece and take whatever else is there; False at the end."""
        batch, item = [], self._queue.get()
        while item is not None:
            if item[1].set_running_or_notify_cancel():
                batch.append(item)
            if len(batch) >= _BATCH_MAX:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(
        self, batch: list[tuple[Callable[[Run], Any], Future[Any]]]
    ) -> list[tuple[Future[Any], Any, BaseException | None]]:
        run = self._connection.execute
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        run("BEGIN IMMEDIATE")
        try:
            for work, future in batch:
                run("SAVEPOINT piece")
                try:
                    answers.append((future, work(run), None))
                except sqlite3.Error:
                    raise
                except BaseException as exc:
                    run("ROLLBACK TO piece")
                    answers.append((future, None, exc))
                run("RELEASE piece")
            run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise
        return answers
