"""A fixed share of equity: as the position's value, or as what is lost when the stop is hit."""

from __future__ import annotations


def fixed_fraction(equity: float, price: float, fraction: float) -> float:
    """Give the base units whose value is a fraction of equity; 0 without equity or price."""
    if equity <= 0.0 or price <= 0.0:
        return 0.0
    return equity * fraction / price


def fixed_fractional(
    equity: float, price: float, stop_distance: float, risk: float, *, leverage_max: float = 1.0
) -> float:
    """Give the base units that lose `risk` of equity when the price moves by `stop_distance` (in quote) against them.

    A stop close to the price would make the position as large as one likes: its value is never more than `leverage_max`
    times equity. What the stop's own slippage and fees take comes on top. 0 without equity, price or a stop.
    """
    if equity <= 0.0 or price <= 0.0 or stop_distance <= 0.0:
        return 0.0
    return min(equity * risk / stop_distance, equity * leverage_max / price)
