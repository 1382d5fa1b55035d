"""Consistent copies of what may be in use: databases by their own means, files as they are."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from custody.backup.manifest import Role
from domain import InputError, VenueUnavailable

_SQLITE: Final = b"SQLite format 3\x00"
_SKIPPED_SUFFIXES: Final = ("-wal", "-shm", "-journal", ".lock", ".sock", ".pid", ".log", ".lease", ".cbk", ".partial")
_SKIPPED_FOLDERS: Final = frozenset({"logs", "__pycache__"})
_DUMP_TIMEOUT_S: Final = 3600


def files_of(root: Path) -> list[Path]:
    """Every file below a folder that a backup takes: no sockets, locks, logs, and nothing that is a link."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in _SKIPPED_FOLDERS)
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and not name.endswith(_SKIPPED_SUFFIXES):
                found.append(path)
    return found


def copy_consistent(source: Path, target: Path) -> Role:
    """Copy a file as it was at one instant; tells what it is."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source.open("rb") as file:
        is_database = file.read(16) == _SQLITE
    if not is_database:
        shutil.copyfile(source, target)
        target.chmod(source.stat().st_mode & 0o700)
        return Role.FILE
    try:
        # SQLite's own online backup: a transaction of the source's, whoever writes meanwhile.
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as reader,
            closing(sqlite3.connect(target)) as copy,
        ):
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as exc:
        raise VenueUnavailable(f"{source} cannot be copied: {exc}") from exc
    target.chmod(0o600)
    return _role(tables)


def _role(tables: set[str]) -> Role:
    if {"signed", "spent"} <= tables:
        return Role.JOURNAL
    if {"shares", "sessions", "signatures"} <= tables:
        return Role.PARTY
    return Role.DATABASE if "ledger_entries" in tables else Role.FILE


def dump_postgresql(url: str, target: Path) -> None:
    """Dump a PostgreSQL database, one snapshot, with `pg_dump`.

    Raises:
        InputError: `pg_dump` is not installed.
        VenueUnavailable: It failed.
    """
    _run_tool("pg_dump", ["--format=custom", "--no-owner", f"--file={target}"], url)
    target.chmod(0o600)


def restore_postgresql(dump: Path, url: str) -> None:
    """Put a dump into an empty database. Errors as `dump_postgresql`."""
    _run_tool(
        "pg_restore", ["--no-owner", "--exit-on-error", "--single-transaction", "--dbname", "{url}", str(dump)], url
    )


def _run_tool(tool: str, arguments: list[str], url: str) -> None:
    found = shutil.which(tool)
    if found is None:
        raise InputError(f"{tool} is not installed: a PostgreSQL database cannot be backed up or restored without it")
    parsed = make_url(url).set(drivername="postgresql")
    # The password travels in the environment: arguments can be read by everybody on the machine.
    environment = {**os.environ, **({"PGPASSWORD": str(parsed.password)} if parsed.password else {})}
    plain = parsed.set(password=None).render_as_string(hide_password=False)
    filled = [argument.replace("{url}", plain) for argument in arguments]
    command = [found, *filled, *([] if plain in filled else [plain])]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_DUMP_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise VenueUnavailable(f"{tool} failed: {done.stderr.strip()[:400]}")
