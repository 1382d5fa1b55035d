"""Whoever hears a follower's events: replicas fed by them as the engine feeds its own, and compared with the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chain import ChainClient
from dex import PoolReplica, PoolSpec, read_pools
from domain.events import BlockSeen, Event


class Audience:
    """Applies events as the engine does, to replicas of its own, and lets a test wait for a block."""

    def __init__(self, specs: Sequence[PoolSpec]) -> None:
        self.specs = specs
        self.replicas: dict[str, PoolReplica] = {spec.id: spec.replica() for spec in specs}
        self.events: list[Event] = []
        self.head = ""
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, BlockSeen):
            self.head = event.block_hash
        elif hasattr(event, "pool"):
            self.replicas[event.pool].apply(event)  # type: ignore[arg-type]
        self._news.set()

    async def until_block(self, block_hash: str) -> None:
        async with asyncio.timeout(60):
            while self.head != block_hash:
                self._news.clear()
                await self._news.wait()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def differences(self, client: ChainClient) -> list[str]:
        """Wait for the chain's head and say how the replicas differ from the chain there."""
        head = await client.head()
        await self.until_block(head.hash)
        snapshots = await read_pools(client, self.specs, block_hash=head.hash, block_number=head.number, time_ns=0)
        found = []
        for snapshot in snapshots:
            replica = self.replicas[snapshot.pool]
            reason = replica.difference(snapshot) or replica.invalid_reason
            if reason:
                found.append(f"{snapshot.pool} at block {head.number}: {reason}")
        return found
