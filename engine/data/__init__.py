"""Market data in and out of event records: recordings, the memory-mapped store, Parquet, bars and funding."""

from engine.data.bar_market import BarMarket, bar_market_events
from engine.data.bars import bar_events, funding_events, read_bars, read_funding
from engine.data.captures import RECORDER_SHIFT_NS, CaptureFormat, Loaded, fuse_best, load_capture, merge
from engine.data.parquet import export_parquet, import_parquet
from engine.data.store import Store, StoredInstrument, open_store, write_store

__all__ = [
    "RECORDER_SHIFT_NS",
    "BarMarket",
    "CaptureFormat",
    "Loaded",
    "Store",
    "StoredInstrument",
    "bar_events",
    "bar_market_events",
    "export_parquet",
    "funding_events",
    "fuse_best",
    "import_parquet",
    "load_capture",
    "merge",
    "open_store",
    "read_bars",
    "read_funding",
    "write_store",
]
