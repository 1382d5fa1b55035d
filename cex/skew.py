"""How far our clock is ahead of a venue's, from answers to "what time is it?". Pure: instants in, an estimate out.

A venue's clock was read somewhere between the question and its answer, so each answer bounds the offset by its round
trip. The estimate is the median of the five answers with the shortest round trips among the last `KEPT`; an answer that
cannot be true together with it says that one of the clocks has jumped.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from typing import Final

SAMPLES: Final = 5
KEPT: Final = 15
DRIFT_MS: Final = 5.0
"""How far two clocks that are both kept right drift between samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: our time before and after, the venue's in whole milliseconds."""

    sent_ns: int
    venue_ms: int
    received_ns: int

    @property
    def round_trip_ms(self) -> float:
        return (self.received_ns - self.sent_ns) / 1e6

    @property
    def ahead_ms(self) -> float:
        """Our time less the venue's, if it was read in the middle; whole milliseconds are half a one behind."""
        return (self.sent_ns + self.received_ns) / 2e6 - self.venue_ms - 0.5

    @property
    def error_ms(self) -> float:
        """The offset is at most this far from `ahead_ms`."""
        return self.round_trip_ms / 2 + 0.5


class Skew:
    """The estimate over time."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    def restart(self) -> None:
        """Forget what was known: a clock has jumped."""
        self._samples.clear()

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)

    def contradicts(self, sample: Sample) -> bool:
        """Whether a sample and the estimate cannot both be right."""
        best = self._best()
        bound = sample.error_ms + max((one.error_ms for one in best), default=0.0) + DRIFT_MS
        return bool(best) and abs(sample.ahead_ms - self.ahead_ms) > bound

    @property
    def is_known(self) -> bool:
        return bool(self._samples)

    @property
    def ahead_ms(self) -> float:
        best = self._best()
        return statistics.median(sample.ahead_ms for sample in best) if best else 0.0

    def _best(self) -> list[Sample]:
        return sorted(self._samples, key=lambda sample: sample.round_trip_ms)[:SAMPLES]
