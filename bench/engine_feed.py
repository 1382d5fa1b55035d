"""Websocket bytes to a sequence-checked book and its best prices, against msgspec's JSON decoder on the same bytes.

The messages are Binance USD-M BTCUSDT of 2024-08-08 as they came: 344.8 s, 6,551 diffs with 443,521 level changes,
21,313 trades, 66,089 BBO. msgspec is given them one by one and its objects are thrown away: it checks no sequence,
keeps no book, makes no numbers of prices. Ours does all that, and writes the 64-byte records. Both are called from
Python with a list of bytes. Skipped where the recording is absent.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
from pathlib import Path

import capstan_native as native
import msgspec

from bench.rows import Row, interleaved, ratio_row
from engine.data import StoredInstrument, load_capture, write_store
from tests.support.market_data import RECORDINGS, absence, market_data_folder, recording_paths

TARGET_RATIO = 5
_NAME = "usdm_btcusdt"


def run() -> list[Row]:
    """Measure; takes about five seconds."""
    folder = market_data_folder()
    if folder is None:
        print(f"engine_feed skipped: {absence()}", file=sys.stderr)
        return []
    (path,) = recording_paths(folder, _NAME)
    messages = [line.split(b" ", 1)[1] for line in gzip.decompress(path.read_bytes()).splitlines()]
    decoder, form = msgspec.json.Decoder(), RECORDINGS[_NAME].form

    def ours() -> tuple[int, native.Capture]:
        capture = native.Capture(form.symbol, 0, form.tick_size, form.lot_size)
        return capture.follow_messages(messages, time.time_ns()), capture

    def peer() -> None:
        for message in messages:
            decoder.decode(message)

    changes, capture = ours()
    tally = dict(capture.tally)
    if tally["gaps"] or tally["messages"] != len(messages) or changes < 5_000 or None in capture.best():
        raise AssertionError(f"the book was not followed: {changes} changes, {tally}")
    our_time, peer_time = interleaved(ours, peer, rounds=15)
    loaded = load_capture([path], form)
    with tempfile.TemporaryDirectory() as scratch:
        described = (StoredInstrument(0, "usdm", form.symbol, form.tick_size, form.lot_size),)
        store = write_store(Path(scratch) / "bench.events", loaded.events, described)
        per_event = store.path.stat().st_size / len(store.events)
    ratio = peer_time / our_time

    def row(name: str, value: float, unit: str) -> Row:
        return ratio_row(
            topic="engine",
            name=name,
            ours=value,
            unit=unit,
            peer_name=f"msgspec {msgspec.__version__} decode alone",
            ratio=ratio,
            target=TARGET_RATIO,
        )

    return [
        row("bytes to checked book and BBO", our_time / len(messages) * 1e9, "ns/msg"),
        row("bytes to checked book and BBO", len(messages) / our_time / 1e6, "M msg/s"),
        row("bytes to checked book and BBO", tally["events"] / our_time / 1e6, "M events/s"),
        ratio_row(
            topic="engine",
            name="a stored event, header included",
            ours=per_event,
            unit="bytes",
            peer_name="64 bytes",
            ratio=64 / per_event,
            target=0.99,
        ),
    ]
