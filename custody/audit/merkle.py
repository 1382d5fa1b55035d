"""The Merkle tree over the log's hashes, grown leaf by leaf (RFC 6962 §2.1).

Leaf and node hashes have different prefixes, so neither can be taken for the other. Of a tree of n leaves only the
roots of its perfect subtrees are kept, one for each bit of n: enough to add leaves, and to give the root.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Self

from domain import InvariantError

EMPTY_ROOT: Final = sha256(b"").hexdigest()


class MerkleTree:
    """A tree that only grows. `count` leaves are in it."""

    def __init__(self) -> None:
        self.count = 0
        self._subtrees: list[bytes] = []

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves, in order."""
        nodes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
        start = 0
        while start < len(nodes):
            # The largest perfect subtree that begins here and is all there; folded level by level.
            left = len(nodes) - start
            height = min((self.count & -self.count).bit_length() - 1 if self.count else 63, left.bit_length() - 1)
            level = nodes[start : start + (1 << height)]
            while len(level) > 1:
                level = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)]
            self._push(level[0], height)
            start += 1 << height

    def _push(self, node: bytes, height: int) -> None:
        """Add a perfect subtree of that height; it joins those of its own height before it."""
        position = self.count >> height
        while position & 1:
            node = sha256(b"\x01" + self._subtrees.pop() + node).digest()
            position >>= 1
        self._subtrees.append(node)
        self.count += 1 << height

    def root(self) -> str:
        """The root over all leaves so far, in hex."""
        if not self._subtrees:
            return EMPTY_ROOT
        node = self._subtrees[-1]
        for subtree in reversed(self._subtrees[:-1]):
            node = sha256(b"\x01" + subtree + node).digest()
        return node.hex()

    def frontier(self) -> str:
        """What is kept, as text, to go on from later."""
        return ",".join(node.hex() for node in self._subtrees)

    @classmethod
    def from_frontier(cls, count: int, frontier: str) -> Self:
        """Go on from what `frontier` gave; whether it is true, only `root` can tell.

        Raises:
            InvariantError: It does not belong to that many leaves.
        """
        tree = cls()
        try:
            tree._subtrees = [bytes.fromhex(node) for node in frontier.split(",")] if frontier else []
        except ValueError as exc:
            raise InvariantError("a Merkle frontier is hex") from exc
        if len(tree._subtrees) != count.bit_count() or any(len(node) != 32 for node in tree._subtrees):
            raise InvariantError(f"the Merkle frontier does not belong to {count} leaves")
        tree.count = count
        return tree
