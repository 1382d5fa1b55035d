"""Logarithm and decay from additions, multiplications and divisions only.

`math.log` and `**` end in the C library, whose last bit differs between libraries and versions; a strategy that decides
on it would decide differently in Rust, or after a move to another machine. IEEE 754 fixes + - * / to the last bit, so
these give the same double in Python and in `native/engine/src/strategies/floats.rs`, which performs the same operations
in the same order. Both are within a few units in the last place of the true value.
"""

from __future__ import annotations

from typing import Final

LN2: Final = 0.6931471805599453
_LN_TERMS: Final = 25
_EXP_TERMS: Final = 18


def ln(x: float) -> float:
    """Return the natural logarithm of a positive, normal number.

    Raises:
        ValueError: `x` is not positive and finite.
    """
    if not 0.0 < x < float("inf"):
        raise ValueError(f"ln of {x}")
    halvings = 0
    while x > 1.5:
        x *= 0.5
        halvings += 1
    while x < 0.75:
        x *= 2.0
        halvings -= 1
    # ln x = 2 artanh((x - 1)/(x + 1)); the argument is at most 0.2 in size, so 25 terms are beyond a double.
    z = (x - 1.0) / (x + 1.0)
    square = z * z
    total = 0.0
    for term in range(_LN_TERMS, 0, -1):
        total = total * square + 1.0 / (2.0 * term - 1.0)
    return 2.0 * z * total + halvings * LN2


def half_to_the(x: float) -> float:
    """Return 0.5 ** x for x >= 0: what is left after x half-lives. Beyond 1,000 half-lives it is 0."""
    if x > 1000.0:
        return 0.0
    whole = int(x)
    y = -(x - whole) * LN2
    total = 1.0
    for term in range(_EXP_TERMS, 0, -1):
        total = 1.0 + y / term * total
    for _ in range(whole):
        total *= 0.5
    return total
