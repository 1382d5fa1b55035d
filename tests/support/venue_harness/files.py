"""The files that are made from a survey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ccxt
import msgspec

from cex.venues.matrix import Capability
from tests.support.venue_harness.pages import pages

FOLDER = Path(__file__).resolve().parents[3]


def made_files(venues: Sequence[Capability]) -> dict[str, str]:
    """Give each file's text by its path in the repository."""
    rows = ",\n".join(msgspec.json.encode(venue).decode() for venue in venues)
    matrix = f'{{"ccxt": "{ccxt.__version__}", "venues": [\n{rows}\n]}}\n'
    made = {f"docs/venues/{name}": text for name, text in pages(venues, ccxt.__version__).items()}
    return made | {"cex/venues/matrix.json": matrix}
