"""What takes applied logs back, kept block by block for as long as a reorganisation may reach."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from chain.records import Block
from domain.errors import InputError, InvariantError

T = TypeVar("T")


class UndoRing(Generic[T]):
    """The last `depth` blocks, each with what its user kept for every log it applied, in order.

    `begin(block)` for each `Applied`, `keep(undo)` for each log before it changes anything, `take(block)` for each
    `Reverted`: what comes back, newest first, restores the state before that block. None instead of a list means that
    the ring does not reach so far: read the state again.
    """

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise InputError(f"the undo ring must hold at least one block, found {depth}")
        self._blocks: deque[tuple[str, list[T]]] = deque(maxlen=depth)

    def __len__(self) -> int:
        return len(self._blocks)

    def begin(self, block: Block) -> None:
        """Open a block: what is kept from now on belongs to it."""
        self._blocks.append((block.hash, []))

    def keep(self, undo: T) -> None:
        """Keep what takes the next log back.

        Raises:
            InvariantError: No block was begun.
        """
        if not self._blocks:
            raise InvariantError("an undo belongs to a block, and none was begun")
        self._blocks[-1][1].append(undo)

    def take(self, block: Block) -> list[T] | None:
        """Give what undoes the newest block, newest first, and forget it; None when the ring is empty.

        Raises:
            InvariantError: Another block is the newest here: blocks are taken back in the order they came, backwards.
        """
        if not self._blocks:
            return None
        block_hash, kept = self._blocks[-1]
        if block_hash != block.hash:
            raise InvariantError(f"block {block.number} {block.hash} is taken back, but {block_hash} is the newest")
        self._blocks.pop()
        return kept[::-1]

    def clear(self) -> None:
        """Forget all: the state was read anew, and nothing before it can be undone."""
        self._blocks.clear()
