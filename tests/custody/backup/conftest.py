"""Two empty PostgreSQL databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import database_of


@pytest.fixture
def two_postgresql_urls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    with database_of("postgresql", tmp_path, None) as first, database_of("postgresql", tmp_path, None) as second:
        yield first, second
