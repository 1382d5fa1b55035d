"""Reading from a connection until it ends, or until somebody finds out that it only looks alive.

A peer may answer pings and say nothing else: then no error ever comes. Whoever notices (a question without an answer on
a line that carried nothing since; a trade that REST knows and the stream did not tell) declares the line silent, and
its owner connects again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from domain import VenueUnavailable
from runtime import Clock

BACKOFF_S = (0.05, 5.0)
"""First and longest wait before connecting again."""


class WatchedLine:
    """When something last came, and whether the line was given up since it was opened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard_ns = 0
        self._carried = False
        self._failures = 0
        self._silent = asyncio.Event()

    def heard(self) -> None:
        """Note that something came."""
        self._heard_ns = self._clock.monotonic_ns()
        self._carried = True

    def doubt(self, since_ns: int) -> None:
        """Give the line up unless something came since an instant."""
        if self._heard_ns < since_ns:
            self._silent.set()

    def backoff_s(self) -> float:
        """How long to wait before connecting again: longer each time, until a connection carried something or stood.

        A venue that takes connections only to end them bans whoever comes back at once.
        """
        delay_s: float = min(BACKOFF_S[0] * 2**self._failures, BACKOFF_S[1])
        self._failures = min(self._failures + 1, 10)
        return delay_s

    async def read(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read until that ends by its own error, or the line is given up.

        Raises:
            VenueUnavailable: The line is silent.
        """
        self._silent.clear()
        opened_ns, self._carried = self._clock.monotonic_ns(), False
        tasks = reader, silence = asyncio.create_task(reading), asyncio.create_task(self._silent.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                return await reader
            raise VenueUnavailable("connected and silent")
        finally:
            if self._carried or self._clock.monotonic_ns() - opened_ns >= BACKOFF_S[1] * 1e9:
                self._failures = 0
            for task in tasks:
                task.cancel()
            await asyncio.gather(reader, silence, return_exceptions=True)
