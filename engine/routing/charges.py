"""What a route costs beyond its prices: the market that moves while an order is on its way, and orders that miss.

Both are shares of the value, expected ones; a fee is certain, these are estimates. Set them to zero and the router
compares prices, fees and gas alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

from engine.routing.route import SHARE

BPS: Final = SHARE // 10_000


@dataclass(frozen=True, slots=True)
class Charges:
    """Estimates for one route. Floats: statistics."""

    latency_s: float = 0.0
    """From decision to matching: of a pool, to the end of its block."""
    volatility_bps: float = 0.0
    """Standard deviation of the mid after one second, in basis points; it grows with the root of time."""
    miss_rate: float = 0.0
    """The share of what is sent that comes back unexecuted: rejected, expired, reverted."""
    miss_bps: float = 0.0
    """What executing it elsewhere afterwards costs more, in basis points of its value."""

    def share(self) -> int:
        """Give the charge in 1e-8 of the value, to the nearest.

        A market that moves is as often in our favour. But what moves in our favour fills and what moves against us is
        chased: half a standard deviation, 0.4 of it being the mean of the worse half's distance, is what is charged.
        """
        drift = 0.4 * self.volatility_bps * sqrt(max(self.latency_s, 0.0))
        miss = min(max(self.miss_rate, 0.0), 1.0) * self.miss_bps
        return round((drift + miss) * BPS)
