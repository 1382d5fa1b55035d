"""Sizes that keep what a position swings by constant: a volatility target, and a multiple of the average true range."""

from __future__ import annotations

from engine.sizing.fixed import fixed_fractional


def volatility_target_exposure(volatility: float, target: float, *, leverage_max: float = 1.0) -> float:
    """Give the exposure, in equities, at which equity's volatility is the target. Both of the same period.

    Without a volatility nothing is known, and the exposure is 0; a calm market stops at `leverage_max`.
    """
    return min(target / volatility, leverage_max) if volatility > 0.0 else 0.0


def volatility_target(
    equity: float, price: float, volatility: float, target: float, *, leverage_max: float = 1.0
) -> float:
    """Give the base units of that exposure; 0 without equity or price."""
    if equity <= 0.0 or price <= 0.0:
        return 0.0
    return equity * volatility_target_exposure(volatility, target, leverage_max=leverage_max) / price


def atr_units(
    equity: float, price: float, atr: float, *, risk: float, multiple: float, leverage_max: float = 1.0
) -> float:
    """Give the base units that lose `risk` of equity when the price goes `multiple` average true ranges against them.

    The true range is Wilder's (1978), in quote units, smoothed as the caller likes (`engine.signals`). Bounded like
    `fixed_fractional`.
    """
    return fixed_fractional(equity, price, atr * multiple, risk, leverage_max=leverage_max)
