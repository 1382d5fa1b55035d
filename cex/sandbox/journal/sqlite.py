"""The journal in one SQLite file, with a write-ahead log synced at every commit, or without `sync` now and then."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from cex.sandbox.journal.store import FORMAT, check_format, merged, oldest, packed
from domain import InputError, VenueUnavailable


class SqliteStore:
    """A `Store`. The file is locked for as long as it is open."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self._path = path
        self._sync = sync
        self._bytes = 0
        with self._told():
            # Opened on one thread and used on another, never by two at a time.
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def load(self) -> dict[str, bytes]:
        with self._told():
            base = dict(self._db.execute("SELECT key, value FROM entries ORDER BY key"))
            groups = [body for (body,) in self._db.execute("SELECT body FROM groups ORDER BY number")]
        self._bytes = sum(map(len, groups))
        return merged(base, groups)

    def replace(self, entries: Iterable[tuple[str, bytes]]) -> None:
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM entries")
            self._db.executemany("INSERT INTO entries VALUES (?, ?)", entries)
            self._db.execute("DELETE FROM groups")
        self._bytes = 0

    def append(self, group: bytes) -> None:
        body = packed(group)
        with self._told():
            self._db.execute("INSERT INTO groups (body) VALUES (?)", (body,))
        self._bytes += len(body)

    @property
    def group_bytes(self) -> int:
        return self._bytes

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def merge_step(self) -> None:
        with self._told(), self._transaction():
            last, groups = oldest(self._db.execute("SELECT number, body FROM groups ORDER BY number"))
            self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", merged({}, groups).items())
            self._db.execute("DELETE FROM groups WHERE number <= ?", (last,))
        self._bytes -= sum(map(len, groups))

    def _prepare(self) -> None:
        db = self._db
        # Exclusive: no other process may even read, and the log needs no shared memory.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL)")
        db.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        db.execute("CREATE TABLE IF NOT EXISTS groups (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)")
        found = db.execute("SELECT version FROM format").fetchone()
        if found is None:
            db.execute("INSERT INTO format VALUES (?)", (FORMAT,))
        else:
            check_format(found[0])
        db.execute("COMMIT")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            if "locked" in str(exc):
                hint = "one sandbox has a journal for itself: stop the other one, or give this one its own"
                raise InputError(f"journal {self._path} is in use", hint=hint) from exc
            raise VenueUnavailable(f"journal {self._path}: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            raise InputError(f"journal {self._path}: {exc}") from exc
