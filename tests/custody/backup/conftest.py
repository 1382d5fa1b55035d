"""Two empty PostgreSQL databases."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.custody.conftest import POSTGRES_URL


@pytest.fixture
def two_postgresql_urls() -> Iterator[tuple[str, str]]:
    server = os.environ.get(POSTGRES_URL)
    if not server:
        pytest.skip(f"no PostgreSQL server: run `scripts/services start` and set {POSTGRES_URL}")
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    names = [f"capstan_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    with engine.connect() as connection:
        for name in names:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        first, second = (url.set(database=name).render_as_string(hide_password=False) for name in names)
        yield first, second
    finally:
        with engine.connect() as connection:
            for name in names:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
