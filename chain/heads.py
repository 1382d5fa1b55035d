"""Follows a chain's head block by block, backwards too: the parent hash decides, not what a node pushes.

Nodes differ in what they announce when a chain reorganises (anvil 1.7.1 announces nothing), so this asks: which block
is the head now, and does its ancestry meet the blocks already applied? Blocks on the way there are applied in order,
blocks that lost are reverted in reverse order. Each block's logs are asked for by its hash, so that they cannot belong
to another.

`HeadChain` decides and does no I/O; `HeadFollower` asks the node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import structlog

from chain.errors import NodeRefused
from chain.records import Block, BlockRef, Log
from domain.errors import InputError, InvariantError, VenueUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """A block joined the chain, with the logs of the followed addresses in order."""

    block: Block
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Reverted:
    """A block left the chain; what it did is undone."""

    block: Block
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Restarted:
    """The ring no longer reaches the chain's past: everything known is void, begin again from `block`'s state.

    After a reorganisation deeper than the ring, or a gap too long to fill.
    """

    block: Block
    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The node stopped answering. Told once; `Restarted` follows when it answers again."""

    reason: str


HeadEvent: TypeAlias = Applied | Reverted | Restarted | Unreachable
Handle: TypeAlias = Callable[[Sequence[HeadEvent]], Awaitable[None]]


class BlockSource(Protocol):
    """What the follower needs of a node; `ChainClient` satisfies it."""

    async def find_block(self, ref: BlockRef) -> Block | None: ...

    async def logs(self, *, addresses: Sequence[str], block_hash: str) -> list[Log]: ...


class HeadChain:
    """The last applied blocks, newest last, linked by parent hash. No I/O."""

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise InputError(f"the undo ring must hold at least one block, found {depth}")
        self._ring: deque[Applied] = deque(maxlen=depth)

    @property
    def head(self) -> Block | None:
        return self._ring[-1].block if self._ring else None

    @property
    def oldest(self) -> Block | None:
        return self._ring[0].block if self._ring else None

    def at(self, number: int) -> Block | None:
        """Give the applied block of a number, if the ring still holds it."""
        if not self._ring:
            return None
        index = number - self._ring[0].block.number
        return self._ring[index].block if 0 <= index < len(self._ring) else None

    def push(self, applied: Applied) -> None:
        """Add the next block.

        Raises:
            InvariantError: It is not the child of the newest.
        """
        head = self.head
        if head is not None and (applied.block.parent_hash != head.hash or applied.block.number != head.number + 1):
            raise InvariantError(f"block {applied.block.number} is no child of {head.number} {head.hash}")
        self._ring.append(applied)

    def pop(self) -> Applied:
        """Take the newest block back."""
        return self._ring.pop()

    def clear(self) -> None:
        self._ring.clear()


class HeadFollower:
    """Turns a node's head into a gapless sequence of applied and reverted blocks.

    Begin with `begin`, then call `advance` whenever something may have happened, or let `run` poll. One task at a
    time.
    """

    def __init__(
        self,
        source: BlockSource,
        addresses: Sequence[str],
        *,
        depth: int = 64,
        gap_max: int = 256,
        poll_s: float = 0.1,
    ) -> None:
        self._source = source
        self._addresses = tuple(addresses)
        self._chain = HeadChain(depth)
        self._gap_max = gap_max
        self._poll_s = poll_s
        self._wake = asyncio.Event()

    @property
    def head(self) -> Block | None:
        """The newest block applied."""
        return self._chain.head

    def begin(self, block: Block) -> None:
        """Take a block whose state is already known as the starting point; nothing is emitted for it."""
        self._chain.clear()
        self._chain.push(Applied(block, ()))

    def wake(self) -> None:
        """Ask the node now instead of at the next poll."""
        self._wake.set()

    async def advance(self) -> list[HeadEvent]:
        """Bring what is applied to the node's head and tell what happened on the way, in order.

        When the node changes its mind in the middle, nothing happened: the next call sees the new branch whole.

        Raises:
            VenueUnavailable: The node does not answer; nothing happened.
        """
        head = self._chain.head
        if head is None:
            raise InvariantError("the follower was not given a starting block")
        target = await self._source.find_block("latest")
        if target is None or target.hash == head.hash:
            return []
        path = await self._path_to(target)
        if path is None:
            return []
        if isinstance(path, str):
            return [self._restart(target, path)]
        return await self._walk(*path)

    async def run(self, handle: Handle) -> None:
        """Follow until cancelled; hand over each round's events together. An unreachable node is waited for.

        A handler that itself finds the node unreachable may raise `VenueUnavailable` or `NodeRefused`: everything is
        then void and begins again with `Restarted`. Any other error of a handler ends the follower.
        """
        is_lost = False
        while True:
            try:
                if is_lost:
                    target = await self._source.find_block("latest")
                    if target is not None:
                        await handle([self._restart(target, "the node answers again")])
                        is_lost = False
                elif events := await self.advance():
                    await handle(events)
            except (VenueUnavailable, NodeRefused) as exc:
                if not is_lost:
                    is_lost = True
                    log.warning("chain.lost", reason=str(exc))
                    await handle([Unreachable(str(exc))])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            self._wake.clear()

    def _restart(self, target: Block, reason: str) -> Restarted:
        self.begin(target)
        log.warning("chain.restarted", block=target.number, reason=reason)
        return Restarted(target, reason)

    async def _path_to(self, target: Block) -> tuple[Block, list[Block]] | str | None:
        """Find the common ancestor and the new blocks from there to `target`, oldest first.

        Gives a reason instead when the ring does not reach back to an ancestor, and None when the node lost the trail
        (it switched branches while being asked).
        """
        oldest, head = self._chain.oldest, self._chain.head
        if oldest is None or head is None:
            raise InvariantError("the follower was not given a starting block")
        if target.number - head.number > self._gap_max:
            return f"{target.number - head.number} blocks behind, more than {self._gap_max}"
        ours = self._chain.at(target.number)
        if ours is not None and ours.hash == target.hash:
            return ours, []  # The chain was rolled back to a block we hold.
        path = [target]
        while True:
            parent = self._chain.at(path[-1].number - 1)
            if parent is not None and parent.hash == path[-1].parent_hash:
                return parent, path[::-1]
            if path[-1].number <= oldest.number:
                return f"a reorganisation reaches below block {oldest.number}"
            before = await self._source.find_block(path[-1].parent_hash)
            if before is None:
                return None
            path.append(before)

    async def _walk(self, ancestor: Block, path: list[Block]) -> list[HeadEvent]:
        # All logs first: a node that lost a block in between leaves the applied chain as it is.
        steps = []
        for block in path:
            try:
                logs = await self._source.logs(addresses=self._addresses, block_hash=block.hash)
            except NodeRefused as exc:
                log.info("chain.block_gone", block=block.number, reason=str(exc))
                return []
            steps.append(Applied(block, tuple(logs)))
        events: list[HeadEvent] = []
        while (head := self._chain.head) is not None and head.number > ancestor.number:
            undone = self._chain.pop()
            events.append(Reverted(undone.block, undone.logs))
        for step in steps:
            self._chain.push(step)
        return events + list(steps)
