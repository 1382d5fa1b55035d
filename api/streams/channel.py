"""One channel: numbered deltas over a state, kept for a while, each written once for everybody.

    publish ──> delta seq (prev = seq - 1) ──> ring ──> each session reads on from where it stands
                     └──> state ──> snapshot for whoever begins, or stands too far back

A subscriber never has a queue of its own: it is a position in the ring. One that reads slowly gets, on a state channel,
what changed since in one delta (`prev` says since when); on a lossless channel every delta, and when the ring no longer
has the next one it is told so and closed.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

RING_S: Final = 60.0
RING_MAX: Final = 4_096
"""Deltas kept at most; and for no longer than `RING_S`."""
EVENTS_SHOWN: Final = 100
"""Newest events in the snapshot of an event channel."""

Changes = dict[str, Any]
"""New values by key; None takes the key away."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one publication changed."""

    seq: int
    time_ns: int
    changes: Changes


class Channel:
    """See the module.

    Args:
        name: `pnl`, `orders`, …
        key: Of whom: a portfolio, an instrument.
        now_ns: The clock.
        is_lossless: Every delta reaches everybody (orders); otherwise a slow reader gets several in one.
        is_events: Values are events under their numbers: the snapshot has the newest, and none is ever taken away.
    """

    def __init__(
        self, name: str, key: str, now_ns: Callable[[], int], *, is_lossless: bool = False, is_events: bool = False
    ) -> None:
        self.name, self.key = name, key
        self.is_lossless = is_lossless or is_events
        self.epoch = secrets.token_hex(6)
        self.seq = 0
        self._is_events = is_events
        self._now_ns = now_ns
        self._state: Changes = {}
        self._ring: deque[Delta] = deque()
        self._written: dict[tuple[int, int], bytes] = {}
        self._snapshot: tuple[int, bytes] | None = None

    @property
    def state(self) -> Mapping[str, Any]:
        return self._state

    def publish(self, changes: Changes) -> bool:
        """Take new values; say whether any is new."""
        fresh = {key: value for key, value in changes.items() if self._is_new(key, value)}
        if not fresh:
            return False
        now = self._now_ns()
        self.seq += 1
        self._ring.append(Delta(self.seq, now, fresh))
        for key, value in fresh.items():
            if value is None:
                self._state.pop(key, None)
            else:
                self._state[key] = value
        if self._is_events:
            while len(self._state) > EVENTS_SHOWN:
                self._state.pop(next(iter(self._state)))
        while len(self._ring) > RING_MAX or now - self._ring[0].time_ns > RING_S * 1e9:
            self._ring.popleft()
        self._written.clear()
        return True

    def replace(self, state: Changes) -> bool:
        """Take a whole new state: what is missing in it is gone."""
        gone: Changes = {} if self._is_events else {key: None for key in self._state if key not in state}
        return self.publish(gone | state)

    def begin(self, epoch: str | None, seq: int | None) -> int | None:
        """Where a subscriber that has seen up to `seq` of `epoch` reads on; None when it needs the snapshot."""
        if epoch != self.epoch or seq is None or not 0 <= seq <= self.seq:
            return None
        return seq if seq == self.seq or self._has(seq + 1) else None

    def snapshot(self) -> bytes:
        """Everything as it is now, written."""
        if self._snapshot is None or self._snapshot[0] != self.seq:
            body = {
                "t": "snap", "ch": self.name, "key": self.key, "epoch": self.epoch, "seq": self.seq, "prev": None,
                "ts": str(self._now_ns()), "d": self._state,
            }  # fmt: skip
            self._snapshot = (self.seq, msgspec.json.encode(body))
        return self._snapshot[1]

    def read(self, seen: int) -> tuple[list[bytes], int] | None:
        """Give what follows `seen`, written, and the sequence up to which it goes; None when it is no longer there."""
        if seen == self.seq:
            return [], seen
        if not self._has(seen + 1):
            return None
        if self.is_lossless:
            first = self._ring[0].seq
            parts = [self._write(at - 1, at) for at in range(seen + 1, self.seq + 1) if at >= first]
            return parts, self.seq
        return [self._write(seen, self.seq)], self.seq

    def _has(self, seq: int) -> bool:
        return bool(self._ring) and self._ring[0].seq <= seq

    def _is_new(self, key: str, value: Any) -> bool:
        if value is None:
            return key in self._state
        return bool(self._state.get(key) != value)

    def _write(self, prev: int, seq: int) -> bytes:
        """The delta from one sequence to another, written once."""
        written = self._written.get((prev, seq))
        if written is None:
            first = self._ring[0].seq
            changes: Changes = {}
            for at in range(prev + 1, seq + 1):
                changes |= self._ring[at - first].changes
            last = self._ring[seq - first]
            body = {
                "t": "delta", "ch": self.name, "key": self.key, "epoch": self.epoch, "seq": seq, "prev": prev,
                "ts": str(last.time_ns), "d": changes,
            }  # fmt: skip
            written = msgspec.json.encode(body)
            self._written[prev, seq] = written
        return written
