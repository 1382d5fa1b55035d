"""Signals of a live run as lines of JSON, for research: one file that continues, and the one before it.

Written through a buffer: a crash loses the last ones, which costs nothing but themselves. When the file is full it
becomes `*.1` and a new one begins, so that the two together stay within twice the bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from engine.sdk import Signal

BYTES_MAX = 64 * 1024 * 1024


class SignalLog:
    """See the module. Used by one thread."""

    def __init__(self, path: Path, *, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._encoder = msgspec.json.Encoder(enc_hook=plain)
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, signal: Signal) -> None:
        """Append one line."""
        line = self._encoder.encode(signal) + b"\n"
        if self._file is None:
            self._file = self._path.open("ab")
            self._size = self._file.tell()
        elif self._size + len(line) > self._bytes_max:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file, self._size = self._path.open("ab"), 0
        self._file.write(line)
        self._size += len(line)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's; anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
