"""How long data is after FastLZ (level 1), without compressing it: what the OP stack's Fjord fee counts.

The format is a run of literals (one length byte for up to 32) and matches of earlier bytes (two bytes, three from a
length of 9 on, up to 264 at once). The search must be the very one the chain uses, or lengths differ: a table of 8,192
places by hash of three bytes, the last one wins, distances up to 8,191.
"""

from __future__ import annotations

from typing import Final

_TABLE: Final = 1 << 13
_DISTANCE_MAX: Final = 0x1FFF
_TAIL: Final = 13
"""Bytes at the end that never begin a match."""
_LITERALS_MAX: Final = 32
_MATCH_MAX: Final = 262


def flz_length(data: bytes) -> int:
    """Give the length of `data` compressed."""
    limit = max(0, len(data) - _TAIL)
    places = [0] * _TABLE
    total = 0
    anchor, at = 0, 2
    while at < limit:
        three = data[at : at + 3]
        slot = _hash(three)
        before, places[slot] = places[slot], at
        if at - before > _DISTANCE_MAX or data[before : before + 3] != three:
            at += 1
            continue
        total += _literals(at - anchor)
        length = _common(data, before + 3, at + 3, limit + 9)
        total += _match(length)
        at += length
        for _ in range(2):
            places[_hash(data[at : at + 3])] = at
            at += 1
        anchor = at
    return total + _literals(len(data) - anchor)


def _hash(three: bytes) -> int:
    return (2654435769 * int.from_bytes(three, "little") >> 19) & (_TABLE - 1)


def _common(data: bytes, left: int, right: int, end: int) -> int:
    """Count how many bytes agree, and one more for the first that does not."""
    most = end - right
    for number in range(most):
        if data[left + number] != data[right + number]:
            return number + 1
    return max(most, 0)


def _literals(count: int) -> int:
    whole, rest = divmod(count, _LITERALS_MAX)
    return whole * (_LITERALS_MAX + 1) + (rest + 1 if rest else 0)


def _match(length: int) -> int:
    whole, rest = divmod(length - 1, _MATCH_MAX)
    return 3 * whole + (3 if rest >= 6 else 2)
