"""Who looks at connections every second: a task for each caller, for all that it has open.

A task and a timer for each connection would cost more than all that is sent on it once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Look = Callable[[], Awaitable[None]]
"""Looks at one connection. Raises nothing: what is wrong is between it and its connection."""


class Watches:
    """The callers of a process. One whose look takes long keeps no other caller's connections waiting."""

    def __init__(self) -> None:
        self._looks: dict[str, dict[Look, None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, caller: str, look: Look, period_s: float) -> None:
        """Have a connection looked at from now on."""
        looks = self._looks.setdefault(caller, {})
        looks[look] = None
        if caller not in self._tasks:
            self._tasks[caller] = asyncio.create_task(_watch(looks, period_s), name="stream.watch")

    def remove(self, caller: str, look: Look) -> None:
        looks = self._looks.get(caller, {})
        looks.pop(look, None)
        if not looks and caller in self._tasks:
            del self._looks[caller]
            self._tasks.pop(caller).cancel()


async def _watch(looks: dict[Look, None], period_s: float) -> None:
    while True:
        await asyncio.sleep(period_s)
        for look in tuple(looks):
            if look in looks:  # It may have gone while another was looked at.
                await look()
