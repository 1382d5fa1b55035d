"""Whole numbers shared out in proportion, and their sum is the whole.

Who gets the odd ones is decided by who lacks the most, then by order: the same input is shared alike everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence


def share_proportionally(whole: int, weights: Sequence[int]) -> list[int]:
    """Share a whole number, of either sign, by weights; the parts add up to it.

    Without any weight the first gets all.
    """
    total = sum(weights)
    if total == 0:
        return [whole if at == 0 else 0 for at in range(len(weights))]
    parts = [whole * weight // total for weight in weights]
    rests = sorted(range(len(weights)), key=lambda at: (-(whole * weights[at] % total), at))
    for at in rests[: whole - sum(parts)]:
        parts[at] += 1
    return parts


def share_lots(lots: int, weights: Sequence[int], given: Sequence[int]) -> list[int]:
    """Share newly executed lots of an order among those it was sent for.

    After every execution each has got its share of everything executed so far, to within two lots (nobody gives back
    what it was ahead by), and when the order is executed whole, each has exactly its weight.

    Args:
        lots: Executed now, not more than what is left of the order.
        weights: What each wanted; together the order.
        given: What each has got of it.
    """
    total, done = sum(weights), sum(given) + lots
    parts = [0] * len(weights)
    left = lots
    for at in _by_lack(done, weights, given):
        part = min(max(done * weights[at] // total - given[at], 0), left)
        parts[at], left = part, left - part
    for at in _by_lack(done, weights, [had + part for had, part in zip(given, parts, strict=True)]):
        if left and given[at] + parts[at] < weights[at]:
            parts[at], left = parts[at] + 1, left - 1
    return parts


def _by_lack(done: int, weights: Sequence[int], given: Sequence[int]) -> list[int]:
    """Places by how far each is behind its share of what was executed."""
    total = sum(weights)
    return sorted(range(len(weights)), key=lambda at: (given[at] * total - done * weights[at], at))
