"""The group commit, and the gate at which whatever leaves the process waits for it.

A message is marked when it is made: with the number of the group that will hold all changes it can tell of. It may
leave when that group is durable. While one group is written, commands go on and fill the next one; so under load
hundreds of commands share one commit, and a lone one waits for its own only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from cex.sandbox.journal.recorder import Recorder
from cex.sandbox.journal.records import pack
from cex.sandbox.journal.store import MERGE_BYTES, URGENT_BYTES, Store


class Gate(Protocol):
    """Says when what happened so far may be told."""

    durable: int

    def mark(self) -> int:
        """Number what is told now."""

    async def passed(self, mark: int) -> None:
        """Wait until what bears the mark may leave."""


class OpenGate:
    """The gate of an exchange that remembers nothing: everything may leave at once."""

    durable = 0

    def mark(self) -> int:
        return 0

    async def passed(self, mark: int) -> None:
        return


class Commits:
    """Writes a recorder's groups to a store, one at a time. See the module."""

    def __init__(self, recorder: Recorder, store: Store) -> None:
        self.durable = 0
        """The last group that is on the disk."""
        self._taken = 0
        """The last group that was given to the store."""
        self._recorder = recorder
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandbox.journal")
        self._changed = asyncio.Event()
        self._written = asyncio.Event()
        self._is_ending = False
        recorder.changed = self._changed.set
        if recorder.is_dirty:
            self._changed.set()

    def mark(self) -> int:
        return self._taken + 1 if self._recorder.is_dirty else self._taken

    async def passed(self, mark: int) -> None:
        while self.durable < mark:
            await self._written.wait()

    async def run(self) -> None:
        """Write groups as they come, until `end` and nothing is left.

        Raises:
            VenueUnavailable: The store failed. Nothing that waits at the gate will leave.
        """
        while True:
            if not self._changed.is_set() and self._store.group_bytes > MERGE_BYTES:
                await self._on_thread(self._store.merge_step)
                continue
            await self._changed.wait()
            if self._recorder.is_dirty:
                await self._commit()
            elif self._is_ending:
                return
            if self._store.group_bytes > URGENT_BYTES:
                await self._on_thread(self._store.merge_step)

    def end(self) -> None:
        self._is_ending = True
        self._changed.set()

    async def close(self) -> None:
        """Write what is left, and close the store. Not while `run` runs.

        After a group that is not known to be on the disk nothing is written: the next one would tell of changes to a
        state that the journal never had. Nobody was told of either.
        """
        try:
            if self._recorder.is_dirty and self.durable == self._taken:
                await self._commit()
        finally:
            await self._on_thread(self._store.close)
            self._thread.shutdown(wait=False)

    async def _commit(self) -> None:
        if not self._is_ending:
            self._changed.clear()
        entries = self._recorder.take()
        self._taken += 1
        number = self._taken
        # Packed here: what the thread does then hardly needs the interpreter, which the loop would have to lend it.
        await self._on_thread(self._store.append, pack(entries))
        self.durable = number
        written, self._written = self._written, asyncio.Event()
        written.set()

    async def _on_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
