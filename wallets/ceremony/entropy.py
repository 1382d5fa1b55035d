"""Entropy of several sources in one: whoever knows or chooses all but one of them knows nothing of the result.

HKDF-SHA256 over all sources, each preceded by its length, under the ceremony's id. In a rehearsal everything that would
be random comes from given entropy, by HMAC-SHA256 over a counter.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain import InputError
from runtime import Secret

_DICE_MIN: Final = 50


def mix(sources: Sequence[bytes], *, ceremony: str, length: int) -> bytes:
    """Mix the sources into `length` bytes."""
    joined = b"".join([len(source).to_bytes(4, "big") + source for source in sources])
    return HKDF(SHA256(), length, ceremony.encode(), b"capstan/ceremony/entropy/1").derive(joined)


def read_dice(text: Secret) -> bytes:
    """Read thrown digits; blanks and line ends are not counted.

    Raises:
        InputError: Other letters, too few throws, or throws that no die gives. The digits are not repeated.
    """
    throws = _throws(text.reveal())
    if isinstance(throws, str):
        raise InputError(throws)  # here, where no frame holds the digits
    return throws


def _throws(text: str) -> bytes | str:
    digits = "".join(text.split())
    if not digits or set(digits) - set("123456"):
        return "dice are written as digits from 1 to 6"
    if len(digits) < _DICE_MIN:
        return f"{_DICE_MIN} throws are needed, found {len(digits)}"
    if len(set(digits)) < 4 or max(digits.count(digit) for digit in "123456") > len(digits) // 2:
        return "these are not throws of a die"
    return digits.encode()


class Repeatable:
    """Bytes that look random and are the same each time, for rehearsals."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) < 16:
            raise InputError("a rehearsal needs at least 16 bytes of entropy")
        self._seed = seed
        self._count = 0

    def __call__(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            found += hmac.digest(self._seed, b"capstan/ceremony/rehearsal/1" + self._count.to_bytes(8, "big"), "sha256")
            self._count += 1
        return found[:length]
