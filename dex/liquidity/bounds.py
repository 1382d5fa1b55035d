"""How far the price may move between planning and execution, as amounts the contracts enforce.

A position's two amounts move against each other: when the price rises it wants less of token 0 and more of token 1. So
a tolerance is a band of prices, and each bound is what the position would take or give at the end of the band that is
worse for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dex.liquidity.maths import Range, amounts_down, amounts_up, liquidity_down, tick_at
from dex.replicas.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE
from domain.errors import InputError

_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Intake:
    """What adding liquidity takes at the present price, and between which amounts it may end up."""

    liquidity: int
    amounts: tuple[int, int]
    at_least: tuple[int, int]
    """V3 adds what the given amounts pay for; below these it reverts."""
    at_most: tuple[int, int]
    """V4 adds exactly `liquidity`; above these it reverts."""


def price_band(sqrt_price: int, tolerance_bps: int) -> tuple[int, int]:
    """Give the square-root prices that lie `tolerance_bps` of the price below and above.

    Raises:
        InputError: The tolerance is not within 0..9999 basis points.
    """
    if not 0 <= tolerance_bps < _BPS:
        raise InputError(f"the price tolerance must lie in 0..9999 bps, found {tolerance_bps}")
    low = math.isqrt(sqrt_price**2 * (_BPS - tolerance_bps) // _BPS)
    high = math.isqrt(sqrt_price**2 * (_BPS + tolerance_bps) // _BPS)
    return max(low, MIN_SQRT_PRICE), min(high, MAX_SQRT_PRICE - 1)


def intake(sqrt_price: int, tick: int, span: Range, given: tuple[int, int], tolerance_bps: int) -> Intake:
    """Say what two amounts, at most, add at a price.

    Raises:
        InputError: They pay for no liquidity at all.
    """
    liquidity = liquidity_down(sqrt_price, span, *given)
    if not liquidity:
        raise InputError(
            f"{given[0]} and {given[1]} pay for no liquidity between {span.lower}..{span.upper} at tick {tick}",
            hint="Below the range only token 0 counts, above it only token 1, inside both.",
        )
    low, high = price_band(sqrt_price, tolerance_bps)
    less0 = amounts_up(high, tick_at(high), span, liquidity_down(high, span, *given))[0]
    less1 = amounts_up(low, tick_at(low), span, liquidity_down(low, span, *given))[1]
    more0 = amounts_up(low, tick_at(low), span, liquidity)[0]
    more1 = amounts_up(high, tick_at(high), span, liquidity)[1]
    amounts = amounts_up(sqrt_price, tick, span, liquidity)
    # Liquidity is a whole number, reckoned anew at whatever price there is: one unit of it is worth most of token 0 at
    # the low end, most of token 1 at the high one.
    unit0, unit1 = amounts_up(low, tick_at(low), span, 1)[0], amounts_up(high, tick_at(high), span, 1)[1]
    at_least = (max(0, min(less0, amounts[0]) - unit0), max(0, min(less1, amounts[1]) - unit1))
    return Intake(liquidity, amounts, at_least, (max(more0, amounts[0]), max(more1, amounts[1])))


def release_min(sqrt_price: int, tick: int, span: Range, liquidity: int, tolerance_bps: int) -> tuple[int, int]:
    """Give the least amounts to accept for liquidity taken out, fees not counted."""
    low, high = price_band(sqrt_price, tolerance_bps)
    less0 = amounts_down(high, tick_at(high), span, liquidity)[0]
    less1 = amounts_down(low, tick_at(low), span, liquidity)[1]
    now = amounts_down(sqrt_price, tick, span, liquidity)
    return min(less0, now[0]), min(less1, now[1])
