"""From model to grid: prices in whole ticks, sizes in whole lots; the name says which way."""

from __future__ import annotations

import math
from typing import Final

_NOISE: Final = 1e-9
"""What a quotient may miss a whole number by and still be it: 0.3 / 0.1 is three lots."""


def lots_down(quantity: float, lot: float) -> int:
    """Count the lots in a quantity; what lies on the grid is not lost to rounding."""
    return math.floor(quantity / lot + _NOISE)


def ticks_down(price: float, tick: float) -> int:
    return math.floor(price / tick + _NOISE)


def ticks_up(price: float, tick: float) -> int:
    return math.ceil(price / tick - _NOISE)


def held_to(value: float, bound: float) -> float:
    """Return a value no further from zero than a bound."""
    return max(-bound, min(bound, value))
