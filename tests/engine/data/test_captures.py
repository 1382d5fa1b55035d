"""Recordings: every one loads without a sequence error, and their books are the venue's."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import capstan_native as native
import numpy as np
import pytest

from domain import InputError
from engine.data import CaptureFormat, fuse_best, load_capture, merge
from engine.data.captures import Events
from engine.records import EVENT, EventFlag, EventKind
from tests.support.market_data import RECORDINGS, load_recording, recording_paths

_FORM = CaptureFormat("AB", "0.1", "0.001", shift_ns=500)
_SNAPSHOT = b'10 {"lastUpdateId":5,"bids":[["9.0","1"]],"asks":[["9.2","1"]]}\n'


def _touches(events: Events) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Rows of record, sequence, local time, bid, lots, ask, lots."""
    return np.frombuffer(native.touches(events.tobytes(), 0), "<i8").reshape(-1, 7)


def _diff(first: int, price: str) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "s": "AB", "U": first, "u": first, "b": [[price, "2"]], "a": []}
    return json.dumps({"stream": "ab@depth", "data": data}, separators=(",", ":")).encode()


def test_lines_become_records_with_the_clock_shifted_and_never_going_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(_SNAPSHOT + b"30 " + _diff(6, "9.1") + b"\n20 " + _diff(7, "9.0"))
    loaded = load_capture([path], _FORM, instrument=4)
    assert loaded.events["time_local_ns"].tolist() == [510, 510, 510, 530, 530]
    assert loaded.events["price"].tolist() == [0, 90, 92, 91, 90]
    assert set(loaded.events["instrument"].tolist()) == {4}
    assert loaded.sequence_errors == 0
    assert loaded.tally["messages"] == 3


def test_a_snapshot_line_is_an_answer_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(_SNAPSHOT))
    events = load_capture([path], _FORM).events
    assert all(events["flags"] & EventFlag.ASKED)
    assert events["kind"].tolist() == [EventKind.CLEAR, EventKind.LEVEL, EventKind.LEVEL]


def test_a_file_continues_the_one_before_and_progress_is_told(tmp_path: Path) -> None:
    for name, text in (("a", _SNAPSHOT), ("b", b"30 " + _diff(6, "9.1") + b"\n")):
        (tmp_path / name).write_bytes(text)
    told: list[tuple[int, int]] = []
    paths = [tmp_path / "a", tmp_path / "b"]
    loaded = load_capture(paths, _FORM, progress=lambda done, total: told.append((done, total)))
    assert loaded.tally["taken"] == 2
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in paths)


@pytest.mark.parametrize(
    ("line", "hint"),
    [(b"x {}", "line 2"), (b"12 " + _diff(6, "9.15"), "price"), (b"12", "line 2"), (b"12 {", "line 2")],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, hint: str) -> None:
    path = tmp_path / "lines"
    path.write_bytes(_SNAPSHOT + line + b"\n")
    with pytest.raises(InputError, match=hint):
        load_capture([path], _FORM)


def test_a_torn_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.gz"
    path.write_bytes(gzip.compress(_SNAPSHOT)[:-9])
    with pytest.raises(InputError, match="cannot read"):
        load_capture([path], _FORM)


def test_streams_merge_in_local_time_and_messages_stay_whole() -> None:
    streams = []
    for instrument, times in ((0, (1, 1, 5, 5)), (1, (1, 3, 5))):
        events = np.zeros(len(times), EVENT)
        events["time_local_ns"], events["instrument"] = times, instrument
        streams.append(events)
    merged = merge(streams)
    assert merged["time_local_ns"].tolist() == [1, 1, 1, 3, 5, 5, 5]
    assert merged["instrument"].tolist() == [0, 0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_loads_without_a_gap_and_its_book_is_the_venues_own_best(
    market_data: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_recording(market_data, name)
    events = loaded.events
    assert loaded.sequence_errors == 0
    assert loaded.tally["ignored"] == 0
    assert not (events["kind"] == EventKind.STALE).any()
    assert (np.diff(events["time_local_ns"]) >= 0).all()
    latency = events["time_local_ns"] - events["time_exchange_ns"]
    assert latency.min() >= 0

    touches = _touches(events)
    assert (touches[:, 3:] > 0).all(), "never stale, never one-sided"
    best = events[events["kind"] == EventKind.BEST]
    bids, asks = best[best["side"] == 0], best[best["side"] == 1]
    told = np.stack([bids["price"], bids["size"], asks["price"], asks["size"]], axis=1)
    ids = bids["sequence"].astype(np.int64)
    assert (np.diff(ids) > 0).all()

    # The same update id on both streams: the same state of the venue's book, with nothing left to interpretation.
    _, ours, theirs = np.intersect1d(touches[:, 1], ids, return_indices=True)
    assert (touches[ours, 3:] == told[theirs]).all()
    # The last BBO before a diff's end: equal too, where the venue tells every change. Spot conflates its BBO: twice in
    # this hour a price lived for less than its stream shows.
    before = np.searchsorted(ids, touches[:, 1], side="right") - 1
    equal = (told[before] == touches[:, 3:]).all(axis=1)[before >= 0]
    assert (~equal).sum() <= (2 if name == "spot_btcusdt" else 0)
    with capsys.disabled():
        print(
            f"\n{name}: {loaded.tally['messages']} messages, {len(events)} records, 0 gaps; best prices equal at all "
            f"{len(ours)} matching ids, and at {equal.sum()} of {len(equal)} ends of diffs after the last BBO"
        )
    assert len(ours) > 500


def test_a_planted_gap_makes_the_book_stale_and_a_snapshot_repairs_it(market_data: Path, tmp_path: Path) -> None:
    (path,) = recording_paths(market_data, "usdm_btcusdt")
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[:6_000]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.write_bytes(b"".join(lines))
    form = RECORDINGS["usdm_btcusdt"].form
    unbroken = load_capture([whole], form).events
    diffs = [at for at, line in enumerate(lines) if b"@depth" in line[:60]]
    lost, repaired = diffs[200], diffs[210]
    answer = (
        b"%d " % int(lines[repaired].split()[0]) + _snapshot_of(unbroken, _update_id(lines[repaired]), form) + b"\n"
    )
    broken.write_bytes(b"".join([*lines[:lost], *lines[lost + 1 : repaired + 1], answer, *lines[repaired + 1 :]]))
    loaded = load_capture([broken], form)
    assert (loaded.tally["gaps"], loaded.tally["too_old"]) == (1, 0)

    (stale,) = np.flatnonzero(loaded.events["kind"] == EventKind.STALE)
    next_diff = int(lines[diffs[201]].split()[0]) + form.shift_ns
    assert loaded.events["time_local_ns"][stale] == next_diff, "said when the next diff shows it"
    rows, truth = _touches(loaded.events), {row[1]: row[3:] for row in _touches(unbroken).tolist()}
    at = int(np.flatnonzero(rows[:, 0] == stale)[0])
    assert (rows[at, 3:] == 0).all(), "a stale book shows no price"
    assert rows[at + 1, 2] == int(answer.split()[0]) + form.shift_ns, "and nothing happens until the snapshot"
    assert len(rows) - at > 250
    for row in rows[at + 1 :].tolist():
        assert row[3:] == truth[row[1]]


@pytest.mark.parametrize("name", ["spot_btcusdt", "spot_ethusdt"])
def test_a_fused_book_shows_the_venues_best_at_once_and_the_venues_levels_after_a_diff(
    market_data: Path, name: str
) -> None:
    events = load_recording(market_data, name).events
    fused = fuse_best(events)
    plain, rows = _touches(events), _touches(fused)
    best = events[events["kind"] == EventKind.BEST]
    bids, asks = best[best["side"] == 0], best[best["side"] == 1]
    told = np.stack([bids["price"], bids["size"], asks["price"], asks["size"]], axis=1)
    ids = bids["sequence"].astype(np.int64)
    at = np.minimum(np.searchsorted(ids, rows[:, 1]), len(ids) - 1)
    of_best = ids[at] == rows[:, 1]
    assert (rows[of_best, 3:] == told[at[of_best]]).all()
    assert of_best.sum() > 10_000
    # After a diff that no BBO was ahead of, the fused book is the plain one.
    _, ours, theirs = np.intersect1d(rows[~of_best, 1], plain[:, 1], return_indices=True)
    assert (rows[~of_best][ours, 3:] == plain[theirs, 3:]).all()
    assert len(rows) > 5 * len(plain)
    print(f"{name}: touch known {len(rows)} times instead of {len(plain)}")


def test_what_does_not_fuse_is_left_as_it_is(market_data: Path) -> None:
    events = load_recording(market_data, "spot_ethusdt").events
    fused = fuse_best(events)
    kept = fused[(fused["flags"] & EventFlag.FUSED) == 0].copy()
    events = events.copy()
    for records in (kept, events):
        records["flags"] |= np.uint16(EventFlag.LAST)
    assert kept.tobytes() == events.tobytes()


def _update_id(line: bytes) -> int:
    return int(json.loads(line.split(b" ", 1)[1])["data"]["u"])


def _snapshot_of(events: Events, update_id: int, form: CaptureFormat) -> bytes:
    """The REST answer after an update, from a plain dict of levels."""
    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    levels = events[(events["kind"] == EventKind.LEVEL) & (events["sequence"] <= update_id)]
    for side, price, size in levels[["side", "price", "size"]].tolist():
        book[side][price] = size
    tick, lot = Decimal(form.tick_size), Decimal(form.lot_size)
    bids, asks = ([[str(p * tick), str(s * lot)] for p, s in sorted(side.items()) if s] for side in book)
    return json.dumps({"lastUpdateId": update_id, "bids": bids, "asks": asks}, separators=(",", ":")).encode()
