"""Kelly's fraction: the share of equity that makes its logarithm grow fastest, bets repeated for ever.

J. L. Kelly, "A New Interpretation of Information Rate" (1956); E. O. Thorp, "The Kelly Criterion in Blackjack, Sports
Betting and the Stock Market" (1997) for the continuous case. The full fraction presumes that the edge is known. It is
estimated: at twice the fraction all growth is gone, so a share of it is used and the result is capped (`kelly_capped`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.errors import InputError

HALVINGS: Final = 200


def kelly_binary(win_probability: float, gain: float, loss: float = 1.0) -> float:
    """Give Kelly's fraction of a bet that wins `gain` per unit staked with a probability and else loses `loss`.

    Negative when the bet is against us.

    Raises:
        InputError: A probability outside 0 … 1, or a gain or loss that is not positive.
    """
    if not 0.0 <= win_probability <= 1.0 or gain <= 0.0 or loss <= 0.0:
        raise InputError(f"no bet: wins {gain} with {win_probability}, else loses {loss}")
    return win_probability / loss - (1.0 - win_probability) / gain


def kelly_continuous(mean: float, variance: float) -> float:
    """Give Kelly's exposure for returns of small steps: mean over variance, of the same period, in excess of cash.

    0 without variance: returns that never vary were not observed for long enough.
    """
    return mean / variance if variance > 0.0 else 0.0


def kelly_of_returns(returns: Sequence[float], *, exposure_max: float = 10.0) -> float:
    """Give the exposure at which the mean of log(1 + exposure · return) over observed returns is largest.

    Between -`exposure_max` and `exposure_max`, and never where one of the returns would have been ruin. The mean is
    concave, so the sign of its slope finds the place; only + - × ÷ are used. No returns, no exposure.
    """
    if not returns:
        return 0.0
    low, high = -exposure_max, exposure_max
    worst, best = min(returns), max(returns)
    # 1 + exposure * return stays positive strictly inside these.
    if worst < 0.0:
        high = min(high, -1.0 / worst)
    if best > 0.0:
        low = max(low, -1.0 / best)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if sum(r / (1.0 + middle * r) for r in returns) > 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def kelly_capped(full: float, *, share: float = 0.5, cap: float = 0.25) -> float:
    """Use a share of Kelly's fraction, at most `cap` either way."""
    return max(-cap, min(cap, full * share))
