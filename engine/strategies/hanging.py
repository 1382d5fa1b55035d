"""Hanging orders: closing halves of round trips that stay where they are while fresh quotes move on.

They are counted as lots at a price, not as orders: an order that hangs may be cancelled, moved or placed anew by the
core, and two of them may share a price with each other or with a fresh quote. What matters is how many lots are wanted
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.sdk import Quotes

Hanging = list[list[int]]
"""Side (0 buys), price in ticks and open lots of each, oldest first. Plain, so that a strategy can save it."""


def after_fill(hanging: Hanging, side: int, price: int, lots: int) -> tuple[Hanging, int]:
    """Take a fill off what hangs at its price, oldest first; return what is left and the lots that were not of it."""
    left: Hanging = []
    for row in hanging:
        taken = min(lots, row[2]) if (row[0], row[1]) == (side, price) else 0
        lots -= taken
        if row[2] > taken:
            left.append([side, price, row[2] - taken] if taken else row)
    return left, lots


def lots_of(hanging: Hanging, side: int) -> int:
    return sum(row[2] for row in hanging if row[0] == side)


def still_worth(hanging: Hanging, mid_ticks: float, distance_ticks_max: float) -> Hanging:
    """Leave out what the market has moved too far away from."""
    return [row for row in hanging if abs(row[1] - mid_ticks) <= distance_ticks_max]


def together(fresh: Iterable[tuple[int, int]], hanging: Hanging, side: int) -> Quotes:
    """Add what hangs on a side to what is quoted there afresh: one entry a price."""
    wanted: dict[int, int] = {}
    rows: Sequence[tuple[int, int]] = [*fresh, *((row[1], row[2]) for row in hanging if row[0] == side)]
    for price, lots in rows:
        wanted[price] = wanted.get(price, 0) + lots
    return tuple(wanted.items())
