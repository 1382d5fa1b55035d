"""Keeps pool replicas true to the chain: snapshot, then logs, then audits; a reorganisation means a new snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from chain import Block, ChainClient
from chain.heads import Applied, HeadEvent, HeadFollower, Unreachable
from chain.wakeups import HeadWakeups
from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from dex.replicas.decoding import decode_log
from dex.replicas.lens import read_pools
from domain.errors import PlatformError, VenueUnavailable
from domain.events import BlockSeen, Event, PoolEvent, PoolInvalidated, PoolSnapshotted

log = structlog.get_logger(__name__)

Emit = Callable[[Event], None]
_READINGS_MAX: Final = 5


class PoolFollower:
    """Emits the events of a set of pools on one chain, with a `BlockSeen` after each block's own.

    It holds replicas of its own, fed by exactly what it emits, and compares them with the chain every
    `audit_every_blocks`. Whatever it cannot vouch for (lost node, reorganisation, failed audit, own crash) is emitted
    as `PoolInvalidated`, and made good by a `PoolSnapshotted` once it is known again.

    It polls every `poll_s`; with a `ws_url` it also looks at once when the node announces a block.
    """

    def __init__(
        self,
        client: ChainClient,
        pools: Sequence[PoolSpec],
        clock: Callable[[], int],
        *,
        poll_s: float = 0.05,
        audit_every_blocks: int = 50,
        ws_url: str = "",
    ) -> None:
        self._client = client
        self._specs = {spec.address: spec for spec in pools}
        self._clock = clock
        self._heads = HeadFollower(client, list(self._specs), poll_s=poll_s)
        self._audit_every_blocks = audit_every_blocks
        self._blocks_unaudited = 0
        self._wakeups = HeadWakeups(ws_url, self._heads.wake) if ws_url else None
        self._emit: Emit = lambda event: None
        self._task: asyncio.Task[None] | None = None
        self.replicas: dict[str, PoolReplica] = {spec.id: spec.replica() for spec in pools}
        self.audits = 0
        self.audits_failed = 0

    async def start(self, emit: Emit) -> None:
        """Emit a snapshot of every pool and go on following; returns when the snapshots are out.

        Raises:
            VenueUnavailable: No node answers.
            InputError: A pool is not what its configuration says, or the contracts are not built.
        """
        self._emit = emit
        head = await self._client.head()
        self._heads.begin(head)
        await self._snapshot(head)
        self._task = asyncio.create_task(self._follow(), name="dex.follower")

    async def stop(self) -> None:
        """Stop following; safe to repeat. Nothing is emitted afterwards.

        A crash that came before was logged and told as invalidations; `wait` raises it, this does not.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()

    async def wait(self) -> None:
        """Wait until the follower ends, which it does only by `stop` or by an error, raised here."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def wake(self) -> None:
        """Look at the chain now instead of at the next poll (a transaction of ours was mined)."""
        self._heads.wake()

    async def _follow(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heads.run(self._handle), name="dex.heads")
                if self._wakeups is not None:
                    tasks.create_task(self._wakeups.run(), name="dex.wakeups")
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self._invalidate(f"the follower ended: {exc}")
            log.exception("dex.follower_ended")
            raise

    async def _handle(self, events: Sequence[HeadEvent]) -> None:
        for event in events:
            if isinstance(event, Unreachable):
                self._invalidate(f"the node does not answer: {event.reason}")
                return
        head = self._heads.head
        if head is None:
            return
        if not all(isinstance(event, Applied) for event in events):
            # Undoing logs one by one would need the state before each; reading the state again is one call.
            self._invalidate("the chain reorganised")
            await self._snapshot(head)
            return
        for event in events:
            if isinstance(event, Applied):
                self._apply(event)
        self._blocks_unaudited += len(events)
        if self._blocks_unaudited >= self._audit_every_blocks:
            await self.audit()

    async def audit(self) -> bool:
        """Compare every replica with the chain at the newest applied block; replace what differs.

        Returns whether all agreed.

        Raises:
            VenueUnavailable: No node answers.
            NodeRefused: The block is gone (the chain is reorganising).
        """
        head = self._heads.head
        if head is None:
            return True
        self._blocks_unaudited = 0
        self.audits += 1
        agreed = True
        for snapshot in await self._read(head):
            replica = self.replicas[snapshot.pool]
            difference = replica.difference(snapshot) or replica.invalid_reason
            if difference:
                agreed = False
                self.audits_failed += 1
                log.error("dex.audit_failed", pool=snapshot.pool, block=head.number, difference=difference)
                self._tell(PoolInvalidated(time_ns=self._clock(), pool=snapshot.pool, reason=f"audit: {difference}"))
                self._tell(snapshot)
        return agreed

    def _apply(self, event: Applied) -> None:
        for entry in event.logs:
            decoded = decode_log(self._specs[entry.address], entry, self._clock())
            if decoded is not None:
                self._tell(decoded)
        self._see(event.block)

    async def _snapshot(self, head: Block) -> None:
        self._blocks_unaudited = 0
        for snapshot in await self._read(head):
            self._tell(snapshot)
        self._see(head)

    async def _read(self, head: Block) -> list[PoolSnapshotted]:
        """Read all pools at a block, believed when two readings in a row agree and the block is still on the chain.

        One reading is not enough: anvil answers for the newest block from the state it is just mining the next one
        on, and a provider's load balancer may ask two nodes. The next reading of the same block is then a past one.
        """
        previous: list[PoolSnapshotted] = []
        for _ in range(_READINGS_MAX):
            found = await read_pools(
                self._client,
                list(self._specs.values()),
                block_hash=head.hash,
                block_number=head.number,
                time_ns=self._clock(),
            )
            if previous and all(_same_state(a, b) for a, b in zip(previous, found, strict=True)):
                now = await self._client.find_block(int(head.number))
                if now is None or now.hash != head.hash:
                    raise VenueUnavailable(f"block {head.number} {head.hash} left the chain while it was read")
                return found
            previous = found
        raise VenueUnavailable(f"the node gives a new answer for block {head.number} each time")

    def _see(self, block: Block) -> None:
        self._emit(
            BlockSeen(
                time_ns=self._clock(),
                chain_id=self._client.chain_id,
                number=block.number,
                block_hash=block.hash,
                block_time_s=block.time_s,
                base_fee_wei=block.base_fee_wei,
            )
        )

    def _invalidate(self, reason: str) -> None:
        for pool in self.replicas:
            self._tell(PoolInvalidated(time_ns=self._clock(), pool=pool, reason=reason))

    def _tell(self, event: PoolEvent) -> None:
        replica = self.replicas[event.pool]
        was_valid = replica.is_valid
        try:
            replica.apply(event)
        except PlatformError as exc:
            replica.invalid_reason = str(exc)
        self._emit(event)
        if was_valid and not replica.is_valid and not isinstance(event, PoolInvalidated):
            self._blocks_unaudited = self._audit_every_blocks  # The audit after this round replaces it.
            log.error("dex.replica_broken", pool=replica.id, reason=replica.invalid_reason)


def _same_state(a: PoolSnapshotted, b: PoolSnapshotted) -> bool:
    return msgspec.structs.replace(a, time_ns=b.time_ns) == b
