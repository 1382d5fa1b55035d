"""The catalog: every kind has settings of its own, a class that is made of them alone, and a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.strategies.base import CatalogSettings, CatalogStrategy
from engine.strategies.catalog import ENTRIES, Entry

PAGES = Path(__file__).parents[3] / "docs" / "strategies"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_an_entry_is_whole(entry: Entry) -> None:
    assert issubclass(entry.settings, CatalogSettings)
    assert issubclass(entry.strategy, CatalogStrategy)
    assert entry.settings.__doc__
    assert PAGES.joinpath(f"{entry.kind}.md").exists()


def test_kinds_are_distinct() -> None:
    assert len({entry.kind for entry in ENTRIES}) == len(ENTRIES)
