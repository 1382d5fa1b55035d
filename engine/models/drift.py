"""The drift gate: stops a model whose inputs leave what it was trained on.

A tree answers an input it never saw with the leaf at the edge, a network with anything; neither says so. The gate
looks at each input before the model does, and closes when

- a value lies further outside its range of training than `reach` times that range's width, at once; or
- of the last `window` inputs more than `share_max` had a value outside its range.

Closed it stays closed, with the feature's name, until a person has looked and restarts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from engine.models.artefact import Card, FeatureRange
from engine.models.features import Vectors
from runtime import SettingsPart

MARGIN: Final = 1e-6
"""Part of the width that rounding may stray beyond a range."""


class DriftSettings(SettingsPart):
    """When the gate closes; see the module."""

    reach: Annotated[float, Field(gt=0)] = 1.0
    window: int = Field(default=168, ge=1, le=100_000)
    share_max: Annotated[float, Field(ge=0, le=1)] = 0.1


def outside(card: Card, x: Vectors) -> tuple[str, ...]:
    """Name the features of one input (its last bar) that lie outside their range of training, or are no numbers."""
    values = _last(x)
    return tuple(
        name
        for name, value, bounds in zip(card.features, values, card.ranges, strict=True)
        if not _is_within(float(value), bounds, MARGIN)
    )


def far_outside(card: Card, x: Vectors, reach: float) -> str:
    """Say which feature lies far outside, and where; empty when none does."""
    for name, value, bounds in zip(card.features, _last(x), card.ranges, strict=True):
        if not _is_within(float(value), bounds, reach):
            return f"{name} is {float(value):.6g}, in training it was {bounds.low:.6g} to {bounds.high:.6g}"
    return ""


class DriftGate:
    """See the module. `recent` (1 for each late input that was outside) and `reason` are all its state."""

    def __init__(self, card: Card, settings: DriftSettings, recent: list[int] | None = None, reason: str = "") -> None:
        self._card, self._settings = card, settings
        self.recent = [] if recent is None else recent
        self.reason = reason
        """Why it is closed; empty while it is open."""

    @property
    def is_closed(self) -> bool:
        return bool(self.reason)

    def admit(self, x: Vectors) -> bool:
        """Look at an input; say whether the model may be asked about it."""
        if self.is_closed:
            return False
        if far := far_outside(self._card, x, self._settings.reach):
            self.reason = far
            return False
        names = outside(self._card, x)
        self.recent.append(1 if names else 0)
        del self.recent[: -self._settings.window]
        # The share is of the whole window, also while it fills: the first odd bar is no drift.
        if sum(self.recent) > self._settings.share_max * self._settings.window:
            self.reason = (
                f"{sum(self.recent)} of the last {len(self.recent)} inputs were outside the range of training, "
                f"the last by {', '.join(names)}"
            )
            return False
        return True


def _last(x: Vectors) -> Sequence[float]:
    return list(x if x.ndim == 1 else x[-1])


def _is_within(value: float, bounds: FeatureRange, slack: float) -> bool:
    """Whether a value lies in a range widened on both sides by a part of its width. NaN does not."""
    room = slack * (bounds.high - bounds.low) if bounds.high > bounds.low else slack * max(abs(bounds.high), 1.0)
    return bool(np.isfinite(value)) and bounds.low - room <= value <= bounds.high + room
