"""How often trades reach how far from the mid: λ(δ) = A · exp(-k · δ), fitted to what was seen.

Time is cut into equal intervals. In each, per side, the furthest trade from the mid of its beginning tells which
distances an order of ours would have traded at: all that it reached. Counted by distance, over the time that was looked
at, they are λ; a line through ln λ, weighted by counts (the variance of a count's logarithm is about 1 / count), is the
fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.sdk.floats import LN2, half_to_the, ln

COUNT_MIN: Final = 3.0
"""Distances reached less often say nothing."""
POINTS_MIN: Final = 3


def reached(counts: list[float], distance: float, step: float) -> None:
    """Count a reach: place `i` counts the intervals in which trades got to `i` steps from the mid or further."""
    for at in range(min(len(counts), int(distance / step) + 1)):
        counts[at] += 1.0


def fit(counts: Sequence[float], exposure_s: float, step: float) -> tuple[float, float] | None:
    """Return A per second and k per unit of distance, or nothing while there is too little to fit.

    Args:
        counts: As `reached` counts them; the first place, the mid itself, is left out.
        exposure_s: Over how much time, both sides added up.
        step: Distance between two places.
    """
    points = [(at * step, count) for at, count in enumerate(counts) if at > 0 and count >= COUNT_MIN]
    if len(points) < POINTS_MIN or exposure_s <= 0.0:
        return None
    weight = sum(count for _, count in points)
    mean_x = sum(count * x for x, count in points) / weight
    logs = [(x, ln(count / exposure_s), count) for x, count in points]
    mean_y = sum(count * y for _, y, count in logs) / weight
    spread = sum(count * (x - mean_x) * (x - mean_x) for x, _, count in logs)
    slope = sum(count * (x - mean_x) * (y - mean_y) for x, y, count in logs) / spread
    if slope >= 0.0:
        return None
    return exp(mean_y - slope * mean_x), -slope


def exp(x: float) -> float:
    """Return e to the x, made as `engine.sdk.floats` makes its functions."""
    return half_to_the(-x / LN2) if x <= 0.0 else 1.0 / half_to_the(x / LN2)
