"""Time as a dependency: shells read it here, cores are told it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two times: `now_ns` is UTC since the epoch, `monotonic_ns` only measures distances."""

    def now_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.perf_counter_ns()


class ManualClock:
    """A clock that tests and replays advance by hand; both times move together."""

    def __init__(self, start_ns: int = 0) -> None:
        self._ns = start_ns

    def now_ns(self) -> int:
        return self._ns

    def monotonic_ns(self) -> int:
        return self._ns

    def advance(self, *, ns: int = 0, seconds: float = 0) -> None:
        self._ns += ns + round(seconds * 1e9)
