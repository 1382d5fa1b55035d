"""Recorded market data for tests and benches: where it is, what it is, and that it may be absent.

Nothing of it is in the repository. `CAPSTAN_DATA` names a folder that holds `market/`; without it, `shared/data` in a
parent of the repository is looked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.data import RECORDER_SHIFT_NS, CaptureFormat, Loaded, load_capture

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Recording:
    """One instrument's files in time order, and how to read them."""

    name: str
    venue: str
    files: tuple[str, ...]
    form: CaptureFormat


def _recording(venue: str, symbol: str, tick: str, lot: str, *days: str) -> Recording:
    stem = f"{venue}_{symbol.lower()}"
    files = tuple(f"binance_l2_20240808/{stem}_{day}.gz" for day in days)
    return Recording(stem, venue, files, CaptureFormat(symbol, tick, lot, RECORDER_SHIFT_NS))


RECORDINGS = {
    one.name: one
    for one in (
        _recording("usdm", "BTCUSDT", "0.1", "0.001", "20240808"),
        _recording("spot", "BTCUSDT", "0.01", "0.00001", "20240808", "20240809"),
        _recording("spot", "ETHUSDT", "0.01", "0.0001", "20240808"),
        _recording("cm", "BTCUSD_PERP", "0.1", "1", "20240808", "20240809"),
        _recording("cm", "ETHUSD_PERP", "0.01", "1", "20240808"),
    )
}
"""Binance on 2024-08-08 from 23:54:15 UTC: level changes, trades and BBO by one recorder."""


def market_data_folder() -> Path | None:
    """Find the folder `market`, or nothing."""
    told = os.environ.get("CAPSTAN_DATA")
    places = [Path(told)] if told else [parent / "shared" / "data" for parent in _ROOT.parents]
    return next((place / "market" for place in places if (place / "market").is_dir()), None)


def absence() -> str:
    """Say why there is no recorded data, for a skip."""
    return "no recorded market data: set CAPSTAN_DATA to a folder that holds market/"


def recording_paths(folder: Path, name: str) -> list[Path]:
    """Give a recording's files."""
    return [folder / file for file in RECORDINGS[name].files]


def load_recording(folder: Path, name: str, *, instrument: int = 0) -> Loaded:
    """Load a recording by its name."""
    return load_capture(recording_paths(folder, name), RECORDINGS[name].form, instrument=instrument)
