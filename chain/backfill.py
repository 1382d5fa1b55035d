"""Filling a gap of blocks with few questions, without believing what does not fit together.

Headers of a range are believed as far as each is the parent of the next. Logs of a range are believed when each names a
block of the path by its hash, and the path's last block is still the chain's own after the answer; otherwise each block
is asked for by its hash, which cannot be misunderstood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from chain.errors import NodeRefused
from chain.records import Block, BlockRef, Log

log = structlog.get_logger(__name__)

Topics = Sequence[str | Sequence[str] | None]

_RANGE_FROM: Final = 4
"""From how many blocks on their logs are asked for by range."""
_RANGE_MAX: Final = 500
"""Blocks in one question for logs: providers refuse long ranges."""


class RangeSource(Protocol):
    """What is needed of a node; `ChainClient` satisfies it."""

    async def find_block(self, ref: BlockRef) -> Block | None: ...

    async def find_blocks(self, numbers: Sequence[int]) -> list[Block | None]: ...

    async def logs(
        self,
        *,
        addresses: Sequence[str] = (),
        topics: Topics = (),
        from_block: BlockRef | None = None,
        to_block: BlockRef | None = None,
        block_hash: str | None = None,
    ) -> list[Log]: ...


async def headers_between(source: RangeSource, below: int, target: Block) -> list[Block]:
    """Give the blocks from `target` down to `below` + 1, newest first, as far as they are each other's parents.

    Never empty: `target` is always among them.
    """
    numbers = range(target.number - 1, below, -1)
    path = [target]
    for block in await source.find_blocks(numbers):
        if block is None or block.hash != path[-1].parent_hash or block.number != path[-1].number - 1:
            break
        path.append(block)
    return path


async def logs_of(
    source: RangeSource, path: Sequence[Block], addresses: Sequence[str], topics: Topics = ()
) -> list[tuple[Log, ...]]:
    """Give each block's logs; `path` is a piece of one chain, oldest first.

    Raises:
        NodeRefused: It does not know one of the blocks (any more).
        VenueUnavailable: It does not answer.
    """
    if len(path) >= _RANGE_FROM:
        found = await _by_ranges(source, path, addresses, topics)
        if found is not None:
            return found
    return [tuple(await source.logs(addresses=addresses, topics=topics, block_hash=block.hash)) for block in path]


async def _by_ranges(
    source: RangeSource, path: Sequence[Block], addresses: Sequence[str], topics: Topics
) -> list[tuple[Log, ...]] | None:
    places = {block.hash: number for number, block in enumerate(path)}
    found: list[list[Log]] = [[] for _ in path]
    at, size = 0, min(_RANGE_MAX, len(path))
    while at < len(path):
        last = min(at + size, len(path)) - 1
        try:
            entries = await source.logs(
                addresses=addresses, topics=topics, from_block=int(path[at].number), to_block=int(path[last].number)
            )
        except NodeRefused as exc:
            # Too many blocks or too many logs for this provider; words and codes differ.
            if size <= _RANGE_FROM:
                return None
            size //= 2
            log.info("chain.range_halved", blocks=size, reason=str(exc))
            continue
        for entry in entries:
            place = places.get(entry.block_hash)
            if place is None:
                return None  # Of another branch.
            found[place].append(entry)
        at = last + 1
    now = await source.find_block(int(path[-1].number))
    if now is None or now.hash != path[-1].hash:
        return None
    return [tuple(sorted(logs, key=lambda entry: entry.index)) for logs in found]
