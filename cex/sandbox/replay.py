"""Background liquidity from recordings: the markets as they were, with whatever clients add to them.

A line is `<receive time in ns> <message>`: combined-stream depth diffs and trades of one symbol, and one REST depth
snapshot (no `stream` key). Several recordings are played by their receive times, so that symbols stay in step.
"""

from __future__ import annotations

import gzip
import heapq
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cex.sandbox.config import ReplayConfig
from cex.sandbox.exchange import Exchange
from cex.sandbox.mirror import Mirror
from domain import InputError

_Line = tuple[int, int, dict[str, Any]]


class Replay:
    """Recordings played into one exchange, each into one symbol, at one speed; `math.inf` is as fast as it goes."""

    def __init__(self, exchange: Exchange, *configs: ReplayConfig) -> None:
        self._speed = configs[0].speed
        if not self._speed > 0:
            raise InputError(f"replay speed must be positive, found {self._speed}")
        self._mirrors = [Mirror(exchange, config.symbol, "replay") for config in configs]
        recordings = []
        for number, config in enumerate(configs):
            lines = _lines(config.path, number)
            first = next(lines, None)
            if first is None:
                raise InputError(f"recording {config.path} is empty")
            recordings.append(_after(first, lines))
        self._lines = heapq.merge(*recordings, key=lambda line: line[0])
        self._next: _Line | None = next(self._lines)
        self._start_ns = self._next[0]
        self._elapsed_ns = 0

    @property
    def is_over(self) -> bool:
        return self._next is None

    def advance(self, elapsed_ns: int, most: int = 10**9) -> int:
        """Let real time pass; apply what the recordings hold for it at the set speed, and return how many messages.

        At most so many: what is due beyond that is left for the next call.
        """
        count = 0
        if not math.isinf(self._speed):
            self._elapsed_ns += int(elapsed_ns * self._speed)
        while self._next is not None and count < most:
            due_ns, number, message = self._next
            if not math.isinf(self._speed) and due_ns - self._start_ns > self._elapsed_ns:
                break
            self._mirrors[number].apply(message)
            self._next = next(self._lines, None)
            count += 1
        return count


def _after(first: _Line, lines: Iterator[_Line]) -> Iterator[_Line]:
    yield first
    yield from lines


def _lines(path: Path, recording: int) -> Iterator[_Line]:
    """Read a recording.

    Raises:
        InputError: The file cannot be read or a line is no recording's.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                number += 1
                stamp, _, text = line.partition(b" ")
                yield int(stamp), recording, msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, EOFError, ValueError, msgspec.DecodeError) as exc:
        raise InputError(f"recording {path}, line {number}: {exc}") from exc
