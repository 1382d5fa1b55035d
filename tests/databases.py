"""A database of a test's own, on each server that the product runs on: SQLite always, PostgreSQL where
`CAPSTAN_TEST_POSTGRES_URL` names one.

Migrations run once in a process for each kind of tables; every other database is a copy of what they left. Switched on
by `pytest_plugins` in tests/conftest.py.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from runtime.database import Database

POSTGRES_URL: Final = "CAPSTAN_TEST_POSTGRES_URL"
KINDS: Final = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))


class Tables:
    """Databases with tables, as `fill` makes them."""

    def __init__(self, fill: Callable[[Database], Database]) -> None:
        self._fill = fill
        self._file: bytes | None = None
        self._template = ""

    def write(self, path: Path) -> None:
        """Write an SQLite file; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._file is not None:
            path.write_bytes(self._file)
            return
        self._make(Database.at(path))  # SQLite writes its log back into the file as the last connection closes.
        assert not path.with_name(f"{path.name}-wal").exists()
        self._file = path.read_bytes()

    def template(self) -> str:
        """Give the database on the server that others are copies of."""
        if not self._template:
            name = new_name()
            on_server(f"CREATE DATABASE {name}")
            self._template = name
            self._make(Database(url_of(name)))
        return self._template

    def forget(self) -> None:
        if self._template:
            on_server(f"DROP DATABASE {self._template} WITH (FORCE)")
            self._template = ""

    def _make(self, database: Database) -> None:
        self._fill(database).dispose()


def _open_books(database: Database) -> Database:
    from custody.tables import open_books  # Most test runs need neither.

    return open_books(database)


def _open_all(database: Database) -> Database:
    from api.tables import open_tables

    return open_tables(_open_books(database))


BOOKS: Final = Tables(_open_books)
"""Custody's."""
ALL: Final = Tables(_open_all)
"""Custody's and the API's."""


def books_at(path: Path) -> Database:
    """Open an SQLite file with custody's tables; one that is not there is written."""
    if path.exists():
        return _open_books(Database.at(path))
    BOOKS.write(path)
    return Database.at(path)


def pytest_sessionfinish() -> None:
    for tables in (BOOKS, ALL):
        tables.forget()


@contextmanager
def database_of(kind: str, path: Path, tables: Tables | None) -> Iterator[str]:
    """Make one, empty or with tables; gives its address. An SQLite file stays, in the folder of the test."""
    if kind == "sqlite":
        if tables is not None:
            tables.write(path)
        yield f"sqlite:///{path}"
        return
    if not os.environ.get(POSTGRES_URL):
        pytest.skip(f"no PostgreSQL server: run `scripts/services start` and set {POSTGRES_URL}")
    name = new_name()
    on_server(f"CREATE DATABASE {name}" + ("" if tables is None else f" TEMPLATE {tables.template()}"))
    try:
        yield url_of(name)
    finally:
        on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Without a table: for tests of how they come about."""
    with database_of(request.param, tmp_path / "books.db", None) as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """With custody's tables."""
    with database_of(request.param, tmp_path / "books.db", BOOKS) as url:
        yield url


def new_name() -> str:
    return f"capstan_{uuid.uuid4().hex[:12]}"


def url_of(name: str) -> str:
    return _server().set(database=name).render_as_string(hide_password=False)


def on_server(statement: str) -> None:
    engine = sa.create_engine(_server(), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def _server() -> sa.URL:
    return sa.make_url(os.environ[POSTGRES_URL]).set(drivername="postgresql+psycopg")
