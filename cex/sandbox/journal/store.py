"""Keys and values on a disk: a base of entries, and the groups of changes that came after it.

Writing a group appends one row: the cheapest thing a database can make durable. Old groups are merged into the base, so
that the journal grows with what there is to remember and not with what happened. Answers wait for groups, so a merge is
done in steps of a few milliseconds, when no group waits, or one per group when they never cease to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from domain import InputError

FORMAT: Final = 2
"""Of the tables and groups. A record's own fields may grow without a new one."""
MERGE_BYTES: Final = 16 * 1024 * 1024
"""Groups beyond that are merged into the base when there is nothing else to do."""
URGENT_BYTES: Final = 4 * MERGE_BYTES
"""Beyond that, although there is."""
STEP_BYTES: Final = 64 * 1024
"""Merged at once: a little over what comes in meanwhile, so that a journal under full load stops growing."""

_unpack: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class Store(Protocol):
    """One exchange's memory; whoever has it open has it alone. Calls block, and come from one thread at a time.

    Each raises `VenueUnavailable` when the disk or the database fails; then nothing of the call was kept, or all of it.
    """

    def load(self) -> dict[str, bytes]:
        """Read the last value under each key. `InputError`: written by another version, or damaged."""

    def replace(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Begin anew with these entries, at once."""

    def append(self, group: bytes) -> None:
        """Make a group of changes durable: a MessagePack list of keys with their values."""

    def merge_step(self) -> None:
        """Merge the oldest groups, about `STEP_BYTES` of them, into the base."""

    def close(self) -> None: ...

    @property
    def group_bytes(self) -> int:
        """What the groups add up to."""


def open_store(where: str, *, sync: bool = True) -> Store:
    """Open a journal: a directory (SQLite in it), `sqlite:///file` or `postgresql://host/name`.

    Without `sync` a commit does not wait for the disk: it survives the end of the process, not that of the machine.

    Raises:
        InputError: None of these, or in use by another process.
        VenueUnavailable: It cannot be opened.
    """
    from cex.sandbox.journal.postgresql import PostgresqlStore
    from cex.sandbox.journal.sqlite import SqliteStore

    scheme, separator, rest = where.partition("://")
    if not separator:
        directory = Path(where)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise InputError(f"journal: {where} is no directory: {exc.strerror}") from exc
        return SqliteStore(directory / "journal.sqlite", sync=sync)
    if scheme == "sqlite" and rest.startswith("/"):
        return SqliteStore(Path(rest.removeprefix("/")), sync=sync)
    if scheme in ("postgresql", "postgresql+psycopg"):
        return PostgresqlStore(f"postgresql://{rest}", sync=sync)
    raise InputError(
        f"journal: {scheme}:// is no database for it", hint="give a directory, sqlite:///file or postgresql://host/name"
    )


def merged(base: Mapping[str, bytes], groups: Iterable[bytes]) -> dict[str, bytes]:
    """Apply groups, oldest first.

    Raises:
        InputError: One of them is damaged.
    """
    found = dict(base)
    for group in groups:
        try:
            found.update(_unpack(zlib.decompress(group)))
        except (msgspec.DecodeError, zlib.error) as exc:
            raise InputError(f"journal: a group of changes cannot be read: {exc}") from exc
    return found


def packed(group: bytes) -> bytes:
    """Write a group as it is stored. Field names come again and again: a fifth of the bytes are left to write twice."""
    return zlib.compress(group, 1)


def oldest(rows: Iterable[tuple[int, bytes]]) -> tuple[int, list[bytes]]:
    """Take `STEP_BYTES` of numbered groups, at least one; give the last one's number and their bodies."""
    last, groups, size = 0, list[bytes](), 0
    for number, body in rows:
        last = number
        groups.append(body)
        size += len(body)
        if size >= STEP_BYTES:
            break
    return last, groups


def check_format(found: int) -> None:
    """Refuse a journal of another format."""
    if found != FORMAT:
        raise InputError(f"journal: format {found} was written by another version; this one reads {FORMAT}")
