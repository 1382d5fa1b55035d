"""The nodes of a chain and how each of them has been doing: latency, failures, pauses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

_REMEMBERED: Final = 64
"""Latencies kept of each node: enough for a tail of 5 %, few enough to follow a change within seconds."""
_MEASURED_FROM: Final = 8
"""Answers before a node's latency is believed."""
_PAUSE_S: Final = 0.5
_PAUSE_MAX_S: Final = 30.0
_SLOWER_BY: Final = 2.0
"""How much slower than the fastest the preferred node may become before it is left."""


class Latencies:
    """The last answers' times of one node, in seconds."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    @property
    def is_known(self) -> bool:
        """Whether enough answers were timed to say anything."""
        return len(self._seconds) >= _MEASURED_FROM

    def quantile(self, share: float) -> float | None:
        """Give the time within which that share of the answers came; None while too few are known."""
        if not self.is_known:
            return None
        ordered = sorted(self._seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Endpoint:
    """One node, whether it has proven to be on the right chain, and its health."""

    url: str
    is_verified: bool = False
    latencies: Latencies = field(default_factory=Latencies)
    failures: int = 0
    """Without an answer in between."""
    rests_until: float = 0.0
    """Monotonic time before which it is asked last."""
    answered: int = 0
    failed: int = 0
    hedged: int = 0
    """How often another node was asked too because this one was slow."""

    def note_answer(self, seconds: float) -> None:
        """It answered, even if only to say no."""
        self.latencies.add(seconds)
        self.answered += 1
        self.failures = 0
        self.rests_until = 0.0

    def note_failure(self, now: float, pause_s: float | None = None) -> None:
        """It did not answer: it rests, twice as long after each further failure, or for as long as it said."""
        self.failed += 1
        self.failures += 1
        pause = min(_PAUSE_S * 2 ** (self.failures - 1), _PAUSE_MAX_S) if pause_s is None else pause_s
        self.rests_until = now + min(pause, _PAUSE_MAX_S)

    def note_late(self, now: float, seconds: float) -> None:
        """It was still silent after so many seconds when another node had answered."""
        self.latencies.add(seconds)
        self.hedged += 1
        self.rests_until = max(self.rests_until, now + _PAUSE_S)


def in_order(endpoints: list[Endpoint], preferred: int, now: float) -> list[Endpoint]:
    """List the nodes as they are to be asked: the preferred one first, those that rest last, none left out.

    A preferred node that has become much slower than another is passed by.
    """
    rotated = endpoints[preferred:] + endpoints[:preferred]
    order = sorted(rotated, key=lambda endpoint: endpoint.rests_until > now)
    awake = [endpoint for endpoint in order if endpoint.rests_until <= now and endpoint.latencies.is_known]
    if len(awake) > 1 and order[0] in awake:
        fastest = min(awake, key=_typical)
        if _typical(order[0]) > _SLOWER_BY * _typical(fastest):
            order.remove(fastest)
            order.insert(0, fastest)
    return order


def _typical(endpoint: Endpoint) -> float:
    return endpoint.latencies.quantile(0.5) or 0.0
