"""The store and Parquet give back what was written, or refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domain import InputError
from engine.data import StoredInstrument, export_parquet, import_parquet, open_store, write_store
from engine.data.captures import Events
from engine.records import EVENT

_AB = (StoredInstrument(0, "spot", "AB", "0.01", "0.001"),)


def _events(count: int = 5) -> Events:
    events = np.zeros(count, EVENT)
    events["price"] = np.arange(count)
    events["sequence"] = 2**64 - 1
    events["aux"][:, 1] = -7
    return events


def test_a_store_is_mapped_and_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ab.events"
    written = write_store(path, _events(), _AB)
    store = open_store(path)
    assert store.events.tobytes() == _events().tobytes()
    assert isinstance(store.events, np.memmap)
    assert not store.events.flags.writeable
    assert (store.instruments, store.digest) == (_AB, written.digest)
    assert path.stat().st_size == 4096 + 64 * 5
    store.verify()


def test_an_empty_store_is_one_too(tmp_path: Path) -> None:
    store = write_store(tmp_path / "none.events", _events(0), _AB)
    assert len(store.events) == 0
    store.verify()


def test_changed_records_are_found(tmp_path: Path) -> None:
    path = tmp_path / "ab.events"
    write_store(path, _events(), _AB)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="digest"):
        open_store(path).verify()


@pytest.mark.parametrize("size", [0, 10, 60, 4096, 4096 + 64, 4096 + 5 * 64 + 1])
def test_a_file_cut_short_or_too_long_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "ab.events"
    write_store(path, _events(), _AB)
    path.write_bytes(path.read_bytes()[:size].ljust(size, b"x"))
    with pytest.raises(InputError):
        open_store(path)


@given(head=st.binary(min_size=64, max_size=64))
@settings(max_examples=200, deadline=None)
def test_no_header_does_anything_but_open_or_be_refused(tmp_path_factory: pytest.TempPathFactory, head: bytes) -> None:
    path = tmp_path_factory.mktemp("store") / "ab.events"
    write_store(path, _events(), _AB)
    whole = path.read_bytes()
    for start in (0, 8, 12, 16, 24, 56):
        path.write_bytes(whole[:start] + head[: 64 - start] + whole[64:])
        try:
            open_store(path)
        except InputError:
            continue


def test_records_of_unknown_instruments_or_another_layout_are_refused(tmp_path: Path) -> None:
    events = _events()
    events["instrument"] = 2
    with pytest.raises(InputError, match=r"not described: \[2\]"):
        write_store(tmp_path / "x", events, _AB)
    with pytest.raises(InputError, match="records of 64 bytes"):
        write_store(tmp_path / "x", np.zeros(3, [("price", "<i8")]), _AB)
    assert list(tmp_path.iterdir()) == []


@given(events=hnp.arrays(EVENT, st.integers(0, 20), elements=hnp.from_dtype(EVENT)))
@settings(max_examples=50, deadline=None)
def test_parquet_gives_back_every_record(tmp_path_factory: pytest.TempPathFactory, events: Events) -> None:
    path = tmp_path_factory.mktemp("parquet") / "events.parquet"
    export_parquet(events, path)
    assert import_parquet(path).tobytes() == events.tobytes()


def test_parquet_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    export_parquet(_events(), path)
    frame = pl.read_parquet(path)
    for bad in (
        frame.drop("aux1"),
        frame.with_columns(pl.lit(300).alias("kind")),
        frame.with_columns(pl.lit(-1).alias("instrument")),
        frame.with_columns(pl.lit(0.5).alias("price")),
        frame.with_columns(pl.lit(None, pl.Int64).alias("size")),
    ):
        bad.write_parquet(path)
        with pytest.raises(InputError):
            import_parquet(path)
    with pytest.raises(InputError):
        import_parquet(tmp_path / "absent")
