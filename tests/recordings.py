"""Recorded market data, which is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of recorded market data (`$CAPSTAN_DATA/market`, else `../shared/data/market`)."""
    data = Path(os.environ.get("CAPSTAN_DATA") or _ROOT.parent / "shared" / "data")
    folder = data / "market"
    if not folder.is_dir():
        pytest.skip(f"no recorded market data at {folder}: set CAPSTAN_DATA to a folder that holds market/")
    return folder
