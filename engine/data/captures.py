"""Recorded websocket streams to event records.

A recording is lines of `<time of receipt in ns> <message>`, plain or gzipped. Messages are a venue's own; a line
without a stream name is a REST snapshot and stands where the recorder got it. One recorder's clock is shifted as a
whole, so that receipt is never before sending, and local times never go back.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import capstan_native as native
import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.records import EVENT

Events: TypeAlias = npt.NDArray[Any]
"""A contiguous array of `EVENT`."""

RECORDER_SHIFT_NS: Final = 1_280_000_000
"""How far the clock was behind that recorded the captures of August 2024 (receipt less sending: -1.277 to -1.215 s)."""

_CHUNK: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """Whose messages a recording holds, and the grid its prices and sizes are counted on."""

    symbol: str
    tick_size: str
    lot_size: str
    shift_ns: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """Records in local time, and what became of the messages they were made of."""

    events: Events
    tally: dict[str, int]

    @property
    def sequence_errors(self) -> int:
        """Gaps, and snapshots that were too old."""
        return self.tally["gaps"] + self.tally["too_old"]


def load_capture(
    paths: Sequence[Path],
    form: CaptureFormat,
    *,
    instrument: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """Read files of one instrument, each continuing the one before, into one array.

    `progress` is told bytes of files read and bytes in all.

    Raises:
        InputError: A file cannot be read, or a line in it.
    """
    capture = native.Capture(form.symbol, instrument, form.tick_size, form.lot_size, form.shift_ns)
    batches: list[bytes] = []
    try:
        total, done = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            for lines, position in _chunks(path):
                batches.append(capture.read(lines))
                progress(done + position, total)
            done += path.stat().st_size
    except (OSError, EOFError) as exc:
        raise InputError(f"cannot read a recording: {exc}") from exc
    except native.DecodeError as exc:
        raise InputError(f"recording {path}: {exc}", hint="is this the right symbol, tick and lot?") from exc
    return Loaded(np.frombuffer(b"".join(batches), EVENT), dict(capture.tally))


def merge(streams: Sequence[Events]) -> Events:
    """Give several instruments' records as one stream in local time; a message's records stay together."""
    joined = np.concatenate(streams) if streams else np.empty(0, EVENT)
    order = np.argsort(joined["time_local_ns"], kind="stable")
    return joined[order]


def fuse_best(events: Events) -> Events:
    """Let the BBO move the touch of a book whose diffs come slower, as Binance spot's do.

    Levels that the BBO shows gone or changed are laid over the book as FUSED records, and put back before the next
    diff: at the end of a diff the levels are the venue's, unless the BBO is newer still.
    """
    return np.frombuffer(native.fuse(events.tobytes()), EVENT)


def _chunks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines by the megabyte, with the position in the file."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.open(file) if compressed else nullcontext(file) as source:
            tail = b""
            while block := source.read(_CHUNK):
                lines, newline, rest = (tail + block).rpartition(b"\n")
                yield lines + newline, file.tell()
                tail = rest
            if tail:
                yield tail, file.tell()
