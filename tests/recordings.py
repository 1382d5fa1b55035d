"""Recorded market data, which is not part of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.market_data import absence, market_data_folder


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of recorded market data; see tests/support/market_data.py."""
    folder = market_data_folder()
    if folder is None:
        pytest.skip(absence())
    return folder
