"""The engine's feed on its control socket: one drawing, shared out to everyone who follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from engine.feed import Feed

EVERY_S: Final = 0.05
WAITING_MAX: Final = 1_000
"""Parts that may wait for one follower; beyond, it is cut off and has to begin anew."""

Part = dict[str, Any]


class Followers:
    """Draws the feed a few times a second while anybody follows."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._queues: set[asyncio.Queue[Part | None]] = set()

    async def run(self) -> None:
        """Draw until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.draw()

    def draw(self) -> None:
        """Give everybody what changed."""
        changes, events = self._feed.take()
        if not changes and not events:
            return
        part: Part = {"changes": changes, "events": events}
        for queue in tuple(self._queues):
            if queue.qsize() >= WAITING_MAX:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(part)

    async def follow(self, _request: Part) -> AsyncIterator[Part]:
        """Give the snapshot, then each part; ends when the reader is too slow."""
        queue: asyncio.Queue[Part | None] = asyncio.Queue()
        self.draw()
        snapshot = self._feed.snapshot()
        self._queues.add(queue)
        try:
            yield snapshot
            while (part := await queue.get()) is not None:
                yield part
        finally:
            self._queues.discard(queue)
