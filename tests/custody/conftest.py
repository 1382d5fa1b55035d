"""A database with custody's tables, opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody.tables import open_books
from runtime.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_books(Database(database_url))
    yield opened
    opened.dispose()
