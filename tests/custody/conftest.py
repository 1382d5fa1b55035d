"""Databases to test on: SQLite always, PostgreSQL where `CAPSTAN_TEST_POSTGRES_URL` names a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from custody.tables import open_books
from runtime.database import Database

POSTGRES_URL = "CAPSTAN_TEST_POSTGRES_URL"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'books.db'}"
        return
    server = os.environ.get(POSTGRES_URL)
    if not server:
        pytest.skip(f"no PostgreSQL server: run `scripts/services start` and set {POSTGRES_URL}")
    name = f"capstan_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_books(Database(database_url))
    yield opened
    opened.dispose()
