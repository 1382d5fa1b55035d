"""The StableSwap invariant in integers, rounded as Balancer's pools and as Curve's NG pools round it.

    A*n * sum(x) + D = A*n * D + D^(n+1) / (n^n * prod(x))

Balances are scaled to 18 decimals. Both protocols approach D, and then one balance given D and the others, by Newton's
method until two steps differ by at most one; they differ in how each step rounds, so each has its own steps here.
What would overflow 256 bits there raises `OverflowError` here, as does an iteration that does not settle.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Final

BALANCER_PRECISION: Final = 1_000
"""Units of Balancer's amplification in one."""
CURVE_PRECISION: Final = 100

_STEPS: Final = 255


def balancer_invariant_up(amplification: int, balances: Sequence[int]) -> int:
    """D of a Balancer stable pool, every step rounded up."""
    count, total = len(balances), sum(balances)
    scaled, invariant = amplification * count, total
    for _ in range(_STEPS):
        power = balances[0] * count
        for balance in balances[1:]:
            power = _up(_fit(power * balance * count), invariant)
        above = count * invariant * invariant + _up(_fit(scaled * total * power), BALANCER_PRECISION)
        below = (count + 1) * invariant + (scaled - BALANCER_PRECISION) * power // BALANCER_PRECISION
        before, invariant = invariant, _up(_fit(above), below)
        if -1 <= invariant - before <= 1:
            return invariant
    raise OverflowError("the invariant does not settle")


def balancer_balance_up(amplification: int, balances: Sequence[int], invariant: int, index: int) -> int:
    """The balance at `index` that D and the other balances ask for, rounded up; the one given there is a hint."""
    count, total = len(balances), sum(balances) - balances[index]
    scaled = amplification * count
    power = balances[0] * count
    for balance in balances[1:]:
        power = _fit(power * balance * count) // invariant
    square = _fit(invariant * invariant)
    constant = _fit(_up(square, scaled * power) * BALANCER_PRECISION * balances[index])
    linear = total + invariant // scaled * BALANCER_PRECISION
    found = _up(square + constant, invariant + linear)
    for _ in range(_STEPS):
        before, found = found, _up(_fit(found * found + constant), 2 * found + linear - invariant)
        if -1 <= found - before <= 1:
            return found
    raise OverflowError("the balance does not settle")


def curve_invariant(amplification: int, balances: Sequence[int]) -> int:
    """D of a Curve NG pool."""
    count, total = len(balances), sum(balances)
    scaled, invariant, powers = amplification * count, total, prod([count] * count)
    for _ in range(_STEPS):
        power = invariant
        for balance in balances:
            power = _fit(power * invariant) // balance
        power //= powers
        above = _fit((scaled * total // CURVE_PRECISION + power * count) * invariant)
        below = (scaled - CURVE_PRECISION) * invariant // CURVE_PRECISION + (count + 1) * power
        before, invariant = invariant, above // below
        if -1 <= invariant - before <= 1:
            return invariant
    raise OverflowError("the invariant does not settle")


def curve_balance(amplification: int, balances: Sequence[int], invariant: int, index: int) -> int:
    """The balance at `index` that D and the other balances ask for; the one given there does not matter."""
    count = len(balances)
    scaled, constant, total = amplification * count, invariant, 0
    for place, balance in enumerate(balances):
        if place != index:
            total += balance
            constant = _fit(constant * invariant) // (balance * count)
    constant = _fit(constant * invariant * CURVE_PRECISION) // (scaled * count)
    linear = total + invariant * CURVE_PRECISION // scaled
    found = invariant
    for _ in range(_STEPS):
        before, found = found, _fit(found * found + constant) // (2 * found + linear - invariant)
        if -1 <= found - before <= 1:
            return found
    raise OverflowError("the balance does not settle")


def mid_price(scaled: Fraction, balances: Sequence[int], invariant: int, source: int, target: int) -> Fraction:
    """What the margin of an input brings out, in balances' units and before the fee; `scaled` is A*n.

    Exact for this D; the contract's D itself is near the invariant's, within a unit or two.
    """
    count, power = len(balances), Fraction(invariant)
    for balance in balances:
        power *= Fraction(invariant, count * balance)
    return (scaled + power / balances[source]) / (scaled + power / balances[target])


def slope_terms(scaled: float, balances: Sequence[float], invariant: float) -> tuple[float, ...]:
    """The invariant's partial derivative by each balance; `scaled` is A*n. The ratio of two is a price without fee."""
    count = len(balances)
    power = invariant * prod(invariant / (count * balance) for balance in balances)
    return tuple(scaled + power / balance for balance in balances)


def _up(above: int, below: int) -> int:
    return -(-above // below)


def _fit(value: int) -> int:
    if value >> 256:
        raise OverflowError("the contract's 256 bits do not hold it")
    return value
