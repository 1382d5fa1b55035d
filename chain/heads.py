"""Follows a chain's head block by block, backwards too: the parent hash decides, not what a node pushes.

Nodes differ in what they announce when a chain reorganises (anvil 1.7.1 announces nothing), so this asks: which block
is the head now, and does its ancestry meet the blocks already applied? Blocks on the way there are applied in order,
blocks that lost are reverted in reverse order, with the logs they were applied with (`chain.undo` keeps what takes
each back). Each block's logs are asked for by its hash, so that they cannot belong to another; a long gap is filled by
ranges (`chain.backfill`).

`HeadChain` decides and does no I/O; `HeadFollower` asks the node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from chain.backfill import RangeSource, headers_between, logs_of
from chain.errors import NodeRefused
from chain.finality import Finality, FinalityMarks, FinalityRule
from chain.records import Block, Log
from domain.errors import InputError, InvariantError, VenueUnavailable

log = structlog.get_logger(__name__)

_FILL_FROM: Final = 8
"""From how many missing blocks on headers are asked for by range."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A block joined the chain, with the logs of the followed addresses in order."""

    block: Block
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Reverted:
    """A block left the chain; what it did is undone. Of several the newest comes first."""

    block: Block
    logs: tuple[Log, ...]
    """As they were applied, oldest first."""

    @property
    def undone(self) -> tuple[Log, ...]:
        """The logs in the order in which they are taken back."""
        return self.logs[::-1]


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
    time. `addresses` may be changed by `follow`; `topics` narrows their logs as `eth_getLogs` does. The ring holds
    `depth` blocks; who is more than `gap_max` behind begins again.
    """

    def __init__(
        self,
        source: RangeSource,
        addresses: Sequence[str],
        *,
        topics: Sequence[str | Sequence[str] | None] = (),
        depth: int = 64,
        gap_max: int = 256,
        poll_s: float = 0.1,
        finality: FinalityRule | None = None,
    ) -> None:
        self._source = source
        self._addresses = tuple(addresses)
        self._topics = tuple(topics)
        self._chain = HeadChain(depth)
        self._gap_max = gap_max
        self._poll_s = poll_s
        self._finality = finality
        self._wake = asyncio.Event()
        self.marks = FinalityMarks()
        """The highest safe and final blocks, as far as `finality` says how they are known."""

    @property
    def head(self) -> Block | None:
        """The newest block applied."""
        return self._chain.head

    def follow(self, addresses: Sequence[str]) -> None:
        """Follow the logs of these addresses from the next block on; their state must be known at the newest one."""
        self._addresses = tuple(addresses)

    def label(self, block: Block) -> Finality | None:
        """Tell how sure a block is; None when it is not, or no longer, among the applied ones."""
        held = self._chain.at(block.number)
        if held is None or held.hash != block.hash:
            return None
        return self.marks.label(block.number)

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
        events = await self._walk(*path)
        if events and self._finality is not None:
            await self._mark(self._finality)
        return events

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
        if target.number - head.number >= _FILL_FROM:
            # A gap: all its headers at once. What does not link up is walked by parent hash below.
            path = await headers_between(self._source, head.number, target)
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
        if path:
            try:
                logs = await logs_of(self._source, path, self._addresses, self._topics)
            except NodeRefused as exc:
                log.info("chain.block_gone", block=path[-1].number, reason=str(exc))
                return []
            steps = [Applied(block, found) for block, found in zip(path, logs, strict=True)]
        events: list[HeadEvent] = []
        while (head := self._chain.head) is not None and head.number > ancestor.number:
            undone = self._chain.pop()
            if undone.block.number <= self.marks.final:
                log.error("chain.final_block_reverted", block=undone.block.number, hash=undone.block.hash)
            events.append(Reverted(undone.block, undone.logs))
        for step in steps:
            self._chain.push(step)
        return events + list(steps)

    async def _mark(self, rule: FinalityRule) -> None:
        head = self._chain.head
        if head is None:
            return
        safe = final = None
        if rule.kind == "tags":
            safe, final = await self._tagged("safe"), await self._tagged("finalized")
        self.marks = self.marks.risen(rule, head.number, safe, final)

    async def _tagged(self, tag: str) -> int | None:
        try:
            block = await self._source.find_block(tag)
        except (NodeRefused, VenueUnavailable) as exc:
            # The events are applied already: a label that comes later is better than losing them.
            log.info("chain.no_tag", tag=tag, reason=str(exc))
            return None
        return None if block is None else int(block.number)
