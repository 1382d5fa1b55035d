"""What became of the orders a route was sent: how much of them missed, how long answers took.

Older orders count less (each new one halves the weight of those `half_life` before it), and before there is a history
an order in `prior` is presumed missed. A route that refuses `strikes` orders running is left alone for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PRIOR_MISSED: Final = 0.02
PRIOR_WEIGHT: Final = 2.0


@dataclass(slots=True)
class RouteHistory:
    """One route's. Plain numbers, so a strategy saves it (`state`, `restore`)."""

    half_life: float = 20.0
    """Orders."""
    strikes_max: int = 3
    pause_ns: int = 30_000_000_000

    sent: float = 0.0
    missed: float = 0.0
    latency_s: float = 0.0
    """Of answers, smoothed; 0 before the first."""
    strikes: int = 0
    paused_until_ns: int = 0

    @property
    def miss_rate(self) -> float:
        """The share of what was sent that missed, between the presumed and the seen."""
        return (self.missed + PRIOR_MISSED * PRIOR_WEIGHT) / (self.sent + PRIOR_WEIGHT)

    def is_usable(self, now_ns: int) -> bool:
        return now_ns >= self.paused_until_ns

    def ended(self, now_ns: int, sent_units: int, filled_units: int) -> None:
        """Take an order's end: how much of it was executed. One of which nothing was is a strike."""
        if sent_units <= 0:
            return
        keep = 1.0 - 1.0 / (1.0 + self.half_life)
        self.sent = self.sent * keep + 1.0
        self.missed = self.missed * keep + 1.0 - min(filled_units, sent_units) / sent_units
        self.strikes = 0 if filled_units > 0 else self.strikes + 1
        if self.strikes >= self.strikes_max:
            self.strikes, self.paused_until_ns = 0, now_ns + self.pause_ns

    def answered(self, latency_ns: int) -> None:
        """Take how long a venue's first word on an order took: there and back."""
        seen = max(latency_ns, 0) / 1e9
        self.latency_s = seen if self.latency_s == 0.0 else self.latency_s + (seen - self.latency_s) / 8.0

    def state(self) -> list[float]:
        """Give what `restore` takes."""
        return [self.sent, self.missed, self.latency_s, self.strikes, self.paused_until_ns]

    def restore(self, state: list[float]) -> None:
        self.sent, self.missed, self.latency_s = state[:3]
        self.strikes, self.paused_until_ns = int(state[3]), int(state[4])
