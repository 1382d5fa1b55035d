"""Line arbitration: one numbered stream out of several copies of it, each of which may lose, delay or repeat messages.

    line 0   11  12      14  15 ──X                 the first to bring a number wins, copies are dropped
    line 1       12  13  14      15  16             13 comes from line 1, and 16 after line 0 is gone
    merged   11  12  13  14  15      16

A message covers the numbers `first` to `final` (of a depth diff, U to u; of a trade, its id twice) and may overlap
what came before. One that leaves a hole is held: the hole is closed by whichever line still brings it. A line delivers
in order (TCP), so once every open line is past the hole, nobody will; then, or after `hold_ns`, the hole is told as a
`Gap` and the stream goes on behind it.

Pure: instants in, messages out. One owner, no locks.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

HELD_MAX: Final = 1_000
"""More than this held at once, and the hole is given up."""


class Gap(NamedTuple):
    """Numbers that no line brought, both inclusive."""

    first: int
    last: int


@dataclass(slots=True)
class _Line:
    reached: int | None = None
    """The last number it brought, whether or not it was the first to."""
    carries: bool = False
    """Whether it alone continues what is known: it has brought something, or somebody vouched for it."""
    behind_since_ns: int | None = None
    """Since when it has been silent while others moved on."""


class Arbiter(Generic[T]):
    """See the module."""

    def __init__(self, *, hold_ns: int) -> None:
        self.last: int | None = None
        """The last number passed on."""
        self.due_ns: int | None = None
        """When a hole that is there now is given up; call `expire` then."""
        self._hold_ns = hold_ns
        self._lines: dict[int, _Line] = {}
        self._held: list[tuple[int, int, int, T]] = []
        self._arrivals = 0
        self._is_fresh = True

    @property
    def lines(self) -> frozenset[int]:
        """The open lines."""
        return frozenset(self._lines)

    @property
    def carriers(self) -> int:
        """How many lines continue what is known each by itself: while there is one, nothing is lost with the others."""
        return sum(line.carries for line in self._lines.values())

    def vouch(self, lines: frozenset[int]) -> None:
        """These were subscribed before a question whose answer is at least as new as `last`: they missed nothing."""
        for number in lines & self._lines.keys():
            self._lines[number].carries = True

    def open(self, line: int) -> None:
        """A line is subscribed: from now on it may bring messages."""
        if not self._lines:
            self._is_fresh = True
        self._lines[line] = _Line()

    def close(self, line: int, now_ns: int) -> list[T | Gap]:
        """A line is gone; what waited for it alone is given up."""
        self._lines.pop(line, None)
        return self._settle(now_ns) if self._lines else self._give_up()

    def forget(self) -> None:
        """Begin anew with whatever comes next."""
        self.last, self.due_ns = None, None
        self._held.clear()

    def take(self, line: int, first: int, final: int, message: T, now_ns: int) -> list[T | Gap]:
        """Take one message; give what the merged stream has next, in order."""
        state = self._lines.setdefault(line, _Line())
        state.reached = final if state.reached is None else max(state.reached, final)
        state.carries = True
        last = self.last
        if last is not None and self._is_fresh and final <= last:
            # The first word after everything was lost is older than what we knew: the venue counts anew.
            last = None
        self._is_fresh = False
        out: list[T | Gap] = []
        if last is None:
            self._pass(final, message, out)
        elif final <= last:
            self._mark(state, now_ns)
            return out
        elif first <= last + 1:
            self._pass(final, message, out)
        else:
            self._arrivals += 1
            heapq.heappush(self._held, (first, final, self._arrivals, message))
            if self.due_ns is None:
                self.due_ns = now_ns + self._hold_ns
        self._drain(out)
        self._mark(state, now_ns)
        return out + self._settle(now_ns) if self._held else out

    def expire(self, now_ns: int) -> list[T | Gap]:
        """Give up a hole whose time has come."""
        return self._settle(now_ns)

    def stalled(self, now_ns: int, stall_ns: int) -> list[int]:
        """Open lines that have brought nothing for `stall_ns` while the merged stream moved on without them."""
        return [
            number
            for number, line in self._lines.items()
            if line.behind_since_ns is not None and now_ns - line.behind_since_ns >= stall_ns
        ]

    def _pass(self, final: int, message: T, out: list[T | Gap]) -> None:
        self.last = final
        out.append(message)

    def _drain(self, out: list[T | Gap]) -> None:
        """Pass on what is held and continues now."""
        held = self._held
        while held and self.last is not None and held[0][0] <= self.last + 1:
            _, final, _, message = heapq.heappop(held)
            if final > self.last:
                self._pass(final, message, out)
        if not held:
            self.due_ns = None

    def _settle(self, now_ns: int) -> list[T | Gap]:
        """Give up holes that nobody will close, and what has waited too long."""
        out: list[T | Gap] = []
        while self._held and self.last is not None:
            is_late = self.due_ns is not None and now_ns >= self.due_ns
            is_hopeless = all(line.reached is not None and line.reached > self.last for line in self._lines.values())
            if not (is_late or is_hopeless or len(self._held) > HELD_MAX):
                break
            self._skip(out)
            if self._held:
                self.due_ns = now_ns + self._hold_ns
        return out

    def _give_up(self) -> list[T | Gap]:
        out: list[T | Gap] = []
        while self._held:
            self._skip(out)
        return out

    def _skip(self, out: list[T | Gap]) -> None:
        first = self._held[0][0]
        if self.last is not None:
            out.append(Gap(self.last + 1, first - 1))
        self.last = first - 1
        self._drain(out)

    def _mark(self, state: _Line, now_ns: int) -> None:
        """Note who is behind, from when on."""
        if self.last is None:
            return
        for line in self._lines.values():
            if line.reached is not None and line.reached >= self.last:
                line.behind_since_ns = None
            elif line is state or line.behind_since_ns is None:
                line.behind_since_ns = now_ns
