"""How much a price moves: an exponentially weighted mean of squared changes per second.

`native/engine/src/strategies/avellaneda_stoikov.rs` does the same operations in the same order.
"""

from __future__ import annotations

from engine.sdk.floats import half_to_the


def variance_after(variance: float, change: float, seconds: float, *, halflife_s: float, floor: float) -> float:
    """Return σ² per second after a change that took some seconds (more than 0); never below the floor."""
    keep = half_to_the(seconds / halflife_s)
    realised = change * change / seconds
    return max(floor, keep * variance + (1.0 - keep) * realised)
