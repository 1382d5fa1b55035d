"""From base units, a model's float, to whole lots."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite


def lots_down(units: float, lot: float, lots_max: int | None = None) -> int:
    """Give the whole lots in a signed number of base units, toward zero, and no more than `lots_max` either way.

    Exact for both numbers as they are written: 0.3 holds three lots of 0.1, which binary division would make two of.
    What is no number is no lot.
    """
    if not isfinite(units) or lot <= 0.0:
        return 0
    lots = Fraction(repr(abs(units))) // Fraction(repr(lot))
    if lots_max is not None:
        lots = min(lots, lots_max)
    return lots if units > 0 else -lots
