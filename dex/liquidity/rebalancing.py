"""What to swap so that what is held fits a range."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from dex.liquidity.maths import Range, amounts_up
from domain.errors import InputError

_MEASURE: Final = 1 << 120
"""Liquidity large enough that rounding does not show in the ratio of its two amounts."""


@dataclass(frozen=True, slots=True)
class Balancing:
    """A swap of token 0 for token 1 or the other way, or none (amount 0)."""

    is_zero_in: bool
    amount: int


def balancing(sqrt_price: int, tick: int, span: Range, held: tuple[int, int], *, cost_bps: int = 0) -> Balancing:
    """Say what to swap at a price so that both amounts are used up by liquidity in a range, rounded down.

    The price is taken to stay and the swap to cost `cost_bps`: what it moves the price by is left over, in whichever
    token, and small against what is held where the pools are deep.

    Raises:
        InputError: Nothing is held.
    """
    if min(held) < 0 or not any(held):
        raise InputError(f"nothing to provide: {held[0]} and {held[1]} are held")
    want0, want1 = amounts_up(sqrt_price, tick, span, _MEASURE)
    price = Fraction(sqrt_price**2, 1 << 192)
    kept = Fraction(10_000 - cost_bps, 10_000)
    # Too much of token 0 when have0 / have1 > want0 / want1.
    surplus = held[0] * want1 - held[1] * want0
    if surplus > 0:
        # (have0 - x) * want1 = (have1 + x p k) * want0
        return Balancing(True, int(surplus / (want1 + want0 * price * kept)))
    # (have0 + y k / p) * want1 = (have1 - y) * want0
    return Balancing(False, int(-surplus / (want0 + want1 * kept / price)))
