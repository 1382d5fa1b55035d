"""NumPy and Rust read the same bytes the same way."""

from __future__ import annotations

import capstan_native as native
import numpy as np

from engine.records import COMMAND, EVENT, EventKind


def test_both_sides_lay_out_the_records_alike() -> None:
    for dtype, fields in zip((EVENT, COMMAND), native.record_layouts(), strict=True):
        assert dtype.itemsize == 64
        assert fields == [(name, dtype.fields[name][1], dtype.fields[name][0].itemsize) for name in dtype.names]


def test_both_sides_know_the_same_kinds() -> None:
    assert native.event_kinds() == [(kind.value, kind.name) for kind in EventKind]


def test_a_buffer_of_records_is_read_without_copying() -> None:
    events = np.zeros(3, EVENT)
    events["price"] = (1, -2, 3)
    view = np.frombuffer(memoryview(events).cast("B"), EVENT)
    assert np.shares_memory(events, view)
    assert view["price"].tolist() == [1, -2, 3]
