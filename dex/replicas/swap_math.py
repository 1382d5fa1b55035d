"""Amounts and prices inside one liquidity range of Uniswap V3, as `SqrtPriceMath.sol` and `SwapMath.sol` round them.

`low` and `high` are Q64.96 square-root prices with low <= high. Arguments are trusted: the pool replica checks them.
"""

from __future__ import annotations

from typing import Final

from dex.replicas.tick_math import Q96

PIPS: Final = 1_000_000
MAX_UINT256: Final = (1 << 256) - 1


def amount0_down(liquidity: int, low: int, high: int) -> int:
    """Token 0 between two prices, rounded down."""
    return ((liquidity << 96) * (high - low) // high) // low


def amount0_up(liquidity: int, low: int, high: int) -> int:
    """Token 0 between two prices, rounded up."""
    over_high = -(-(liquidity << 96) * (high - low) // high)
    return -(-over_high // low)


def amount1_down(liquidity: int, low: int, high: int) -> int:
    """Token 1 between two prices, rounded down."""
    return liquidity * (high - low) >> 96


def amount1_up(liquidity: int, low: int, high: int) -> int:
    """Token 1 between two prices, rounded up."""
    return -(-liquidity * (high - low) // Q96)


def with_fee_up(amount: int, fee_pips: int) -> int:
    """Add the fee to an input that moves the price by a whole step."""
    return amount - (-amount * fee_pips // (PIPS - fee_pips))


def price_after_0_in(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Square-root price after token 0 came in (it falls), rounded up."""
    if not amount:
        return sqrt_price
    numerator, product = liquidity << 96, amount * sqrt_price
    # The contract falls back to the coarser formula where its 256 bits overflow.
    if product <= MAX_UINT256 and numerator + product <= MAX_UINT256:
        return -(-numerator * sqrt_price // (numerator + product))
    return -(-numerator // (numerator // sqrt_price + amount))


def price_after_1_in(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Square-root price after token 1 came in (it rises), rounded down."""
    return sqrt_price + (amount << 96) // liquidity


def price_after_0_out(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Square-root price after token 0 went out (it rises), rounded up."""
    numerator = liquidity << 96
    return -(-numerator * sqrt_price // (numerator - amount * sqrt_price))


def price_after_1_out(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Square-root price after token 1 went out (it falls), rounded down."""
    return sqrt_price - -(-(amount << 96) // liquidity)
