"""Fixtures of the API's tests: each database the product runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import ALL, KINDS, database_of


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """With all tables."""
    with database_of(request.param, tmp_path / "books.db", ALL) as url:
        yield url
