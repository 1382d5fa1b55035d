"""Keeps pool replicas true to the chain: snapshot, then logs, then audits; a reorganisation takes logs back singly."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from chain import Block, ChainClient, NodeRefused
from chain.heads import Applied, HeadEvent, HeadFollower, Restarted, Reverted, Unreachable
from chain.undo import UndoRing
from chain.wakeups import HeadWakeups
from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from dex.replicas.decoding import LogRoutes, decode_log, topics_of
from dex.replicas.lens import read_pools
from domain.errors import PlatformError, VenueUnavailable
from domain.events import BlockSeen, Event, PoolEvent, PoolInvalidated, PoolSnapshotted
from domain.ids import PoolId

log = structlog.get_logger(__name__)

Emit = Callable[[Event], None]
_READINGS_MAX: Final = 5
_SAMPLES: Final = 5
_AUDITS_MISSED_MAX: Final = 3
_SECOND_LOOK_S: Final = 0.1
_AGE_LOOK_S: Final = 0.05


class _ChainMoved(VenueUnavailable):
    """What was read belongs to no block of the chain any more."""


class PoolFollower:
    """Emits the events of a set of pools on one chain, with a `BlockSeen` after each block's own.

    It holds replicas of its own, fed by exactly what it emits, and compares a sample of them with the chain all the
    time, in turn, so that each was compared within the last `audit_every_blocks`. A node that answers no audit is a
    lost node. Whatever it cannot vouch for (lost node, failed audit, changed fee, own crash) is emitted as
    `PoolInvalidated`, and made good by a `PoolSnapshotted` once it is known again.

    A reorganisation of up to `undo_blocks` is taken back log by log: for each log the event that restores the state
    before it, newest first, then the new branch's events. Pools it touched are audited at once. What cannot be undone
    is read anew.

    It polls every `poll_s`; with a `ws_url` it also looks at once when the node announces a block. With `age_max_s`
    (0: never) replicas turn invalid when no block came for so long: a node that stands still is no source.
    """

    def __init__(
        self,
        client: ChainClient,
        pools: Sequence[PoolSpec],
        clock: Callable[[], int],
        *,
        poll_s: float = 0.05,
        audit_every_blocks: int = 50,
        undo_blocks: int = 64,
        age_max_s: float = 0,
        ws_url: str = "",
    ) -> None:
        self._client = client
        self._specs = {spec.id: spec for spec in pools}
        self._routes = LogRoutes(pools)
        self._clock = clock
        self._heads = HeadFollower(
            client, self._routes.addresses, topics=[topics_of(pools)], depth=undo_blocks, poll_s=poll_s
        )
        self._audit_every_blocks = audit_every_blocks
        self._undo: UndoRing[tuple[PoolId, PoolEvent | None]] = UndoRing(undo_blocks)
        self._age_max_s = age_max_s
        self._block_seen_ns = 0
        self._broken: set[PoolId] = set()
        """To be read anew at the end of the round."""
        self._doubted: set[PoolId] = set()
        """To be audited at the end of the round."""
        self._audit_queue: deque[PoolId] = deque(self._specs)
        """Whose turn it is, the one compared longest ago first."""
        self._audit_due = 0.0
        self._audits_missed = 0
        self._wakeups = HeadWakeups(ws_url, self._heads.wake) if ws_url else None
        self._emit: Emit = lambda event: None
        self._task: asyncio.Task[None] | None = None
        self.replicas: dict[str, PoolReplica] = {spec.id: spec.replica() for spec in pools}
        self.audits = 0
        self.audits_failed = 0
        self.logs_undone = 0

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
                if self._age_max_s:
                    tasks.create_task(self._watch_age(), name="dex.age")
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
        if any(isinstance(event, Restarted) for event in events):
            self._invalidate("the chain reorganised deeper than it can be undone")
            await self._snapshot(head)
            return
        for event in events:
            if isinstance(event, Reverted):
                self._revert(event)
            elif isinstance(event, Applied):
                self._apply(event)
                if event.block.hash != head.hash:
                    self._see(event.block)
        # A replica that is invalid was told so by an event, which only a snapshot heals.
        self._broken.update(spec_id for spec_id in self._specs if not self.replicas[spec_id].is_valid)
        if self._broken:
            try:
                for snapshot in await self._read(head, self._broken):
                    self._tell(snapshot)
                self._broken.clear()
            except (_ChainMoved, NodeRefused) as exc:  # They stay invalid until the block that is coming.
                log.info("dex.reading_again", block=head.number, reason=str(exc))
        self._see(head)
        await self._audit_some(len(events))

    async def _audit_some(self, blocks: int) -> None:
        """Audit whom a reorganisation touched, and in turn a fifth of all pools, five times in `audit_every_blocks`."""
        self._audit_due += blocks * len(self._specs) / self._audit_every_blocks
        if not self._doubted and self._audit_due < max(1.0, len(self._specs) / _SAMPLES):
            return
        chosen = set(self._doubted)
        self._doubted.clear()
        for _ in range(min(math.ceil(self._audit_due), len(self._audit_queue))):
            chosen.add(self._audit_queue[0])
            self._audit_queue.rotate(-1)
        self._audit_due = 0.0
        try:
            await self.audit(chosen)
            self._audits_missed = 0
        except (_ChainMoved, NodeRefused) as exc:
            # The chain reorganises just now, which the next round sees; a node that always says so is no source.
            self._doubted.update(chosen)
            self._audits_missed += 1
            if self._audits_missed > _AUDITS_MISSED_MAX:
                raise
            log.info("dex.auditing_again", reason=str(exc))

    async def audit(self, pools: Collection[PoolId] = ()) -> bool:
        """Compare replicas with the chain at the newest applied block, all or those named; replace what differs twice.

        Returns whether all agreed.

        Raises:
            VenueUnavailable: No node answers.
            NodeRefused: The block is gone (the chain is reorganising).
        """
        head = self._heads.head
        if head is None:
            return True
        self.audits += 1
        suspects = [s for s in await self._read(head, pools or self._specs) if self._differs(s)]
        if suspects:
            # A busy node may answer twice from the state of a block it is still mining: it has time to finish it.
            await asyncio.sleep(_SECOND_LOOK_S)
            suspects = [s for s in await self._read(head, [PoolId(s.pool) for s in suspects]) if self._differs(s)]
        for snapshot in suspects:
            difference = self._differs(snapshot)
            self.audits_failed += 1
            log.error("dex.audit_failed", pool=snapshot.pool, block=head.number, difference=difference)
            self._tell(PoolInvalidated(time_ns=self._clock(), pool=snapshot.pool, reason=f"audit: {difference}"))
            self._tell(snapshot)
        return not suspects

    def _differs(self, snapshot: PoolSnapshotted) -> str:
        replica = self.replicas[snapshot.pool]
        return replica.difference(snapshot) or replica.invalid_reason

    def _apply(self, event: Applied) -> None:
        self._undo.begin(event.block)
        for entry in event.logs:
            spec = self._routes.find(entry)
            if spec is None:
                continue
            replica = self.replicas[spec.id]
            decoded = decode_log(spec, entry, self._clock(), replica)
            if decoded is not None:
                self._undo.keep((spec.id, replica.undo_of(decoded)))
                self._tell(decoded)

    def _revert(self, event: Reverted) -> None:
        undone = self._undo.take(event.block)
        if undone is None:
            self._break(self._specs, "a reorganisation reaches beyond what can be undone")
            return
        for pool, undo in undone:
            if undo is None:
                self._break([pool], "a reorganisation took back what only a snapshot restores")
            elif pool not in self._broken:
                self._tell(undo)
                self.replicas[pool].block_number = event.block.number - 1
                self._doubted.add(pool)
                self.logs_undone += 1
        # A snapshot of a block that left the chain is not of this one, and would hide the new branch's events.
        late = [pool for pool in self._specs if self.replicas[pool].snapshot_block >= event.block.number]
        self._break(late, "the block of its snapshot left the chain")

    def _break(self, pools: Iterable[PoolId], reason: str) -> None:
        for pool in pools:
            if pool not in self._broken:
                self._broken.add(pool)
                self._tell(PoolInvalidated(time_ns=self._clock(), pool=pool, reason=reason))

    async def _snapshot(self, head: Block) -> None:
        self._undo.clear()
        self._broken.clear()
        self._doubted.clear()
        self._audit_due = 0.0
        for snapshot in await self._read(head, self._specs):
            self._tell(snapshot)
        self._see(head)

    async def _watch_age(self) -> None:
        while True:
            await asyncio.sleep(max(_AGE_LOOK_S, self._age_max_s / 10))
            self.check_age()

    def check_age(self) -> None:
        """Invalidate everything when the newest block came longer ago than `age_max_s`; the next one heals."""
        age_s = (self._clock() - self._block_seen_ns) / 1e9
        if self._age_max_s and age_s > self._age_max_s:
            self._invalidate(f"no block came for {age_s:.0f} s")

    async def _read(self, head: Block, pools: Collection[PoolId]) -> list[PoolSnapshotted]:
        """Read pools at a block, believed when two readings in a row agree and the block is still on the chain.

        One reading is not enough: anvil answers for the newest block from the state it is just mining the next one
        on, and a provider's load balancer may ask two nodes. The next reading of the same block is then a past one.
        """
        previous: list[PoolSnapshotted] = []
        for _ in range(_READINGS_MAX):
            found = await read_pools(
                self._client,
                [self._specs[pool] for pool in pools],
                block_hash=head.hash,
                block_number=head.number,
                time_ns=self._clock(),
            )
            if previous and all(_same_state(a, b) for a, b in zip(previous, found, strict=True)):
                now = await self._client.find_block(int(head.number))
                if now is None or now.hash != head.hash:
                    raise _ChainMoved(f"block {head.number} {head.hash} left the chain while it was read")
                return found
            previous = found
        raise _ChainMoved(f"the node gives a new answer for block {head.number} each time")

    def _see(self, block: Block) -> None:
        self._block_seen_ns = self._clock()
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
        for pool, replica in self.replicas.items():
            if replica.is_valid:
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
            log.error("dex.replica_broken", pool=replica.id, reason=replica.invalid_reason)


def _same_state(a: PoolSnapshotted, b: PoolSnapshotted) -> bool:
    return msgspec.structs.replace(a, time_ns=b.time_ns) == b
