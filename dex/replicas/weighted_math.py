"""Powers of fixed-point numbers, to the last digit of Balancer's `LogExpMath`: x^y = e^(y ln x) in integers.

Logarithm and exponential take out known powers of e one after the other and sum a short series over the rest. Numbers
have 18 decimals, inside 20, and near one the logarithm has 36. Every division drops its rest, towards zero.
"""

from __future__ import annotations

from typing import Final

ONE: Final = 10**18
_ONE_20: Final = 10**20
_ONE_36: Final = 10**36
_NEAR: Final = 10**17
"""How far from one the finer logarithm is used."""
_LARGEST: Final = 130 * ONE
_SMALLEST: Final = 41 * ONE
_POWER_ERROR: Final = 10_000
"""Relative error that Balancer assumes of a power, in 1e-18."""

# e^128 and e^64 without decimals; e^32 to e^(1/16) with 20, of which the contract keeps 21 to 24 significant digits.
_E_128: Final = 38877084059945950922200000000000000000000000000000000000
_E_64: Final = 6235149080811616882910000000
_STEPS: Final = (
    (32_00 * ONE, 7896296018268069516100000000000000),
    (16_00 * ONE, 888611052050787263676000000),
    (8_00 * ONE, 298095798704172827474000),
    (4_00 * ONE, 5459815003314423907810),
    (2_00 * ONE, 738905609893065022723),
    (1_00 * ONE, 271828182845904523536),
    (50 * ONE, 164872127070012814685),
    (25 * ONE, 128402541668774148407),
    (125 * ONE // 10, 113314845306682631683),
    (625 * ONE // 100, 106449445891785942956),
)
"""Exponents and their powers of e, both with 20 decimals."""
_EXP_STEPS: Final = 8
_EXP_TERMS: Final = 12


def power_up(base: int, exponent: int) -> int:
    """Raise a number to a power, rounded up by the error that the contract assumes.

    Raises:
        OverflowError: The contract cannot represent it and reverts.
    """
    raw = power(base, exponent)
    return raw + mul_up(raw, _POWER_ERROR) + 1


def power(base: int, exponent: int) -> int:
    """Raise a number to a power, as near as the contract comes.

    Raises:
        OverflowError: The contract cannot represent it and reverts.
    """
    if exponent == 0:
        return ONE
    if base == 0:
        return 0
    is_negative, size = _logarithm_36(base) if ONE - _NEAR < base < ONE + _NEAR else _logarithm(base)
    if ONE - _NEAR < base < ONE + _NEAR:
        size = size // ONE * exponent + size % ONE * exponent // ONE
    else:
        size *= exponent
    size //= ONE
    if size > (_SMALLEST if is_negative else _LARGEST):
        raise OverflowError(f"e to the power of {size} is beyond the contract's numbers")
    return _ONE_36 // _exponential(size) if is_negative else _exponential(size)


def mul_down(a: int, b: int) -> int:
    return a * b // ONE


def mul_up(a: int, b: int) -> int:
    return -(-a * b // ONE)


def div_down(a: int, b: int) -> int:
    return a * ONE // b


def div_up(a: int, b: int) -> int:
    return -(-a * ONE // b)


def _exponential(x: int) -> int:
    first = 1
    if x >= 128 * ONE:
        x, first = x - 128 * ONE, _E_128
    elif x >= 64 * ONE:
        x, first = x - 64 * ONE, _E_64
    x *= 100
    product = _ONE_20
    for exponent, power_of_e in _STEPS[:_EXP_STEPS]:
        if x >= exponent:
            x -= exponent
            product = product * power_of_e // _ONE_20
    term = series = _ONE_20
    for divisor in range(1, _EXP_TERMS + 1):
        term = term * x // _ONE_20 // divisor
        series += term
    return product * series // _ONE_20 * first // 100


def _logarithm(a: int) -> tuple[bool, int]:
    """Whether it is negative, and its size."""
    if a < ONE:
        return True, _logarithm(_ONE_36 // a)[1]
    total = 0
    if a >= _E_128 * ONE:
        a, total = a // _E_128, 128 * ONE
    if a >= _E_64 * ONE:
        a, total = a // _E_64, total + 64 * ONE
    total *= 100
    a *= 100
    for exponent, power_of_e in _STEPS:
        if a >= power_of_e:
            a = a * _ONE_20 // power_of_e
            total += exponent
    return False, (total + 2 * _artanh((a - _ONE_20) * _ONE_20 // (a + _ONE_20), _ONE_20, 11)) // 100


def _logarithm_36(x: int) -> tuple[bool, int]:
    """Near one: whether it is negative, and its size with 36 decimals."""
    x *= ONE
    return x < _ONE_36, 2 * _artanh(abs(x - _ONE_36) * _ONE_36 // (x + _ONE_36), _ONE_36, 15)


def _artanh(z: int, one: int, last: int) -> int:
    """z + z^3/3 + … up to the term of `last`."""
    square, term, series = z * z // one, z, z
    for divisor in range(3, last + 1, 2):
        term = term * square // one
        series += term // divisor
    return series
