"""What a liquidity position holds and earns, to the last unit of the contracts (V3 and V4 compute alike).

A position between two ticks is liquidity L; at a square-root price s between a and b it holds L*(1/s - 1/b) of token 0
and L*(s - a) of token 1. The contracts round against whoever provides: what goes in is rounded up, what comes out down.
Fees are counted per unit of liquidity in 128 fractional bits, and wrap around at 256 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dex.replicas.swap_math import amount0_down, amount0_up, amount1_down, amount1_up
from dex.replicas.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, Q96, sqrt_price_at
from domain.errors import InputError

Q128: Final = 1 << 128
_MASK: Final = (1 << 256) - 1
_MAX_UINT128: Final = Q128 - 1
_LOG_TICK: Final = math.log(1.0001)


@dataclass(frozen=True, slots=True)
class Range:
    """Two ticks between which liquidity lies; token 0 is held below, token 1 above, both in between.

    Raises:
        InputError: Not in order, beyond what pools have, or off the pool's spacing.
    """

    lower: int
    upper: int
    spacing: int = 1

    def __post_init__(self) -> None:
        if self.spacing <= 0:
            raise InputError(f"a tick spacing is positive, found {self.spacing}")
        if not MIN_TICK <= self.lower < self.upper <= MAX_TICK:
            raise InputError(f"a range wants lower < upper within ±{MAX_TICK}, found {self.lower}..{self.upper}")
        if self.lower % self.spacing or self.upper % self.spacing:
            raise InputError(
                f"range {self.lower}..{self.upper} is not on the pool's spacing of {self.spacing} ticks",
                hint=f"The nearest is {_nearest(self.lower, self.spacing)}..{_nearest(self.upper, self.spacing)}.",
            )

    @property
    def sqrt_lower(self) -> int:
        return sqrt_price_at(self.lower)

    @property
    def sqrt_upper(self) -> int:
        return sqrt_price_at(self.upper)

    def holds(self, tick: int) -> bool:
        """Whether a pool at this tick pays the range its fees."""
        return self.lower <= tick < self.upper


def tick_at(sqrt_price: int) -> int:
    """Give the greatest tick whose square-root price is not above this one, as `getTickAtSqrtRatio`.

    Raises:
        InputError: Beyond what pools have.
    """
    if not MIN_SQRT_PRICE <= sqrt_price < MAX_SQRT_PRICE:
        raise InputError(f"square-root price {sqrt_price} is beyond what pools have")
    tick = math.floor(2 * math.log(sqrt_price / Q96) / _LOG_TICK)
    tick = max(MIN_TICK, min(MAX_TICK - 1, tick))
    # The logarithm is off by far less than one tick; the exact prices decide.
    while sqrt_price_at(tick) > sqrt_price:
        tick -= 1
    while sqrt_price_at(tick + 1) <= sqrt_price:
        tick += 1
    return tick


def liquidity_down(sqrt_price: int, span: Range, amount0: int, amount1: int) -> int:
    """Give the most liquidity that two amounts pay for, as `LiquidityAmounts.getLiquidityForAmounts`.

    Raises:
        InputError: An amount is negative, or the result is more than a pool can count.
    """
    if min(amount0, amount1) < 0:
        raise InputError(f"amounts must not be negative, found {amount0} and {amount1}")
    low, high = span.sqrt_lower, span.sqrt_upper
    if sqrt_price <= low:
        liquidity = _for_amount0(low, high, amount0)
    elif sqrt_price < high:
        liquidity = min(_for_amount0(sqrt_price, high, amount0), _for_amount1(low, sqrt_price, amount1))
    else:
        liquidity = _for_amount1(low, high, amount1)
    if liquidity > _MAX_UINT128:
        raise InputError(f"{amount0} and {amount1} are more than a pool can count between {span.lower}..{span.upper}")
    return liquidity


def amounts_up(sqrt_price: int, tick: int, span: Range, liquidity: int) -> tuple[int, int]:
    """What adding liquidity takes: (token 0, token 1), rounded up. `tick` is the pool's own, which at a boundary may be
    one below what its price says; the contract goes by it.
    """
    low, high = span.sqrt_lower, span.sqrt_upper
    if tick < span.lower:
        return amount0_up(liquidity, low, high), 0
    if tick < span.upper:
        return amount0_up(liquidity, sqrt_price, high), amount1_up(liquidity, low, sqrt_price)
    return 0, amount1_up(liquidity, low, high)


def amounts_down(sqrt_price: int, tick: int, span: Range, liquidity: int) -> tuple[int, int]:
    """What taking liquidity out gives: (token 0, token 1), rounded down; `tick` as in `amounts_up`."""
    low, high = span.sqrt_lower, span.sqrt_upper
    if tick < span.lower:
        return amount0_down(liquidity, low, high), 0
    if tick < span.upper:
        return amount0_down(liquidity, sqrt_price, high), amount1_down(liquidity, low, sqrt_price)
    return 0, amount1_down(liquidity, low, high)


def growth_inside(tick: int, span: Range, whole: int, below: int, above: int) -> int:
    """Fees per unit of liquidity earned inside a range, as `Tick.getFeeGrowthInside`, modulo 2**256.

    Args:
        tick: The pool's.
        span: The range.
        whole: The pool's `feeGrowthGlobal`.
        below: `feeGrowthOutside` of the lower tick.
        above: `feeGrowthOutside` of the upper tick.
    """
    under = below if tick >= span.lower else whole - below
    over = above if tick < span.upper else whole - above
    return (whole - under - over) & _MASK


def fees_down(growth: int, growth_last: int, liquidity: int) -> int:
    """Fees that liquidity has earned since it was last counted, rounded down."""
    return ((growth - growth_last) & _MASK) * liquidity >> 128


def _for_amount0(low: int, high: int, amount: int) -> int:
    # The contract rounds the product of the two prices first: the order of the divisions is its, not ours.
    return amount * (low * high // Q96) // (high - low)


def _for_amount1(low: int, high: int, amount: int) -> int:
    return amount * Q96 // (high - low)


def _nearest(tick: int, spacing: int) -> int:
    return (tick + spacing // 2) // spacing * spacing
