"""A party's presignatures: signatures that lack only what is signed. In memory, and used once.

Two signatures by one presignature reveal the key. So there is no way to write one down, to copy it or to look at it
without taking it: whoever takes it has used it up, also when the signature then fails. A party that is killed has none,
and no backup of a party can hold one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from capstan_native import MpcPresignature

from domain import VenueUnavailable

_HELD_MAX: Final = 64
"""Beyond it the oldest is dropped: every one outstanding is a little more for an attacker to combine."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a presignature was made for. It signs for nothing else."""

    wallet: str
    epoch: int
    path: str
    signers: tuple[int, ...]


class Presignatures:
    """What one party holds. Thread-safe."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._held: OrderedDict[bytes, tuple[Bound, MpcPresignature]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, bound: Bound, made: MpcPresignature) -> bytes:
        """Keep one; gives its id."""
        with self._turn:
            self._held[made.presignature_id] = (bound, made)
            while len(self._held) > _HELD_MAX:
                self._held.popitem(last=False)
        return made.presignature_id

    def take(self, presignature_id: bytes, bound: Bound) -> MpcPresignature:
        """Take one out, to be used now or never.

        Raises:
            VenueUnavailable: It is not here: used, dropped, of another epoch, or of another life of this party. Or it
                was made for something else, and is gone now.
        """
        with self._turn:
            found, made = self._held.pop(presignature_id, (None, None))
        if made is None or found != bound:
            raise VenueUnavailable("no such presignature here", hint="sign without one")
        return made

    def purge(self, wallet: str, below_epoch: int) -> None:
        """Forget those of a wallet's earlier epochs."""
        with self._turn:
            for key, (bound, _) in list(self._held.items()):
                if bound.wallet == wallet and bound.epoch < below_epoch:
                    del self._held[key]
