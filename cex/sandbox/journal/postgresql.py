"""The journal in a PostgreSQL database, in three tables of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cex.sandbox.journal.store import FORMAT, check_format, merged, oldest, packed
from domain import InputError, VenueUnavailable

_LOCK: Final = 0x5A4D_B0C5
"""Of the advisory lock that one sandbox holds on the database."""
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS sandbox_journal_format (version integer NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sandbox_journal_entries (key text PRIMARY KEY, value bytea NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sandbox_journal_groups"
    " (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)",
)
_GROUPS: Final = "SELECT body FROM sandbox_journal_groups ORDER BY number"


class PostgresqlStore:
    """A `Store`. An advisory lock keeps a second sandbox out; it goes with the connection."""

    def __init__(self, url: str, *, sync: bool = True) -> None:
        self._bytes = 0
        _check_address(url)
        with _told():
            # What is acknowledged must be on the server's disk, whatever its default.
            options = f"-c synchronous_commit={'on' if sync else 'off'}"
            self._db = psycopg.connect(url, autocommit=True, connect_timeout=10, options=options)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def load(self) -> dict[str, bytes]:
        with _told():
            rows = self._db.execute("SELECT key, value FROM sandbox_journal_entries ORDER BY key")
            base = {key: bytes(value) for key, value in rows}
            groups = [bytes(body) for (body,) in self._db.execute(_GROUPS)]
        self._bytes = sum(map(len, groups))
        return merged(base, groups)

    def replace(self, entries: Iterable[tuple[str, bytes]]) -> None:
        with _told(), self._db.transaction():
            self._db.execute("DELETE FROM sandbox_journal_entries")
            self._copy(entries, "sandbox_journal_entries")
            self._db.execute("DELETE FROM sandbox_journal_groups")
        self._bytes = 0

    def append(self, group: bytes) -> None:
        body = packed(group)
        with _told():
            self._db.execute("INSERT INTO sandbox_journal_groups (body) VALUES (%s)", (body,))
        self._bytes += len(body)

    @property
    def group_bytes(self) -> int:
        return self._bytes

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._db.close()

    def merge_step(self) -> None:
        with _told(), self._db.transaction(), self._db.cursor("groups") as rows:
            rows.itersize = 20
            last, groups = oldest(
                (number, bytes(body))
                for number, body in rows.execute("SELECT number, body FROM sandbox_journal_groups ORDER BY number")
            )
            changes = merged({}, groups)
            self._db.execute(
                "CREATE TEMPORARY TABLE changes (key text PRIMARY KEY, value bytea NOT NULL) ON COMMIT DROP"
            )
            self._copy(changes.items(), "changes")
            self._db.execute(
                "INSERT INTO sandbox_journal_entries SELECT key, value FROM changes"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            )
            self._db.execute("DELETE FROM sandbox_journal_groups WHERE number <= %s", (last,))
        self._bytes -= sum(map(len, groups))

    def _copy(self, entries: Iterable[tuple[str, bytes]], table: str) -> None:
        with self._db.cursor() as cursor, cursor.copy(f"COPY {table} (key, value) FROM STDIN") as copy:
            for entry in entries:
                copy.write_row(entry)

    def _prepare(self) -> None:
        locked = self._db.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if locked != (True,):
            hint = "one sandbox has a journal for itself: stop the other one, or give this one its own database"
            raise InputError("the journal's database is in use by another sandbox", hint=hint)
        with self._db.transaction():
            for table in _TABLES:
                self._db.execute(table)
            found = self._db.execute("SELECT version FROM sandbox_journal_format").fetchone()
            if found is None:
                self._db.execute("INSERT INTO sandbox_journal_format VALUES (%s)", (FORMAT,))
            else:
                check_format(found[0])


def _check_address(url: str) -> None:
    """Refuse what cannot be read as an address, without a word of it: the driver would quote the password's part."""
    try:
        is_plain = "@" not in str(conninfo_to_dict(url).get("host", ""))
    except psycopg.Error:
        is_plain = False
    if not is_plain:
        hint = "percent-encode what is special in its password: @ is %40, % is %25, a space %20"
        raise InputError("the address of the journal's database cannot be read", hint=hint)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        # The first line names the trouble; the address in it bears no password.
        raise VenueUnavailable(f"journal database: {str(exc).splitlines()[0] if str(exc) else exc!r}") from exc
