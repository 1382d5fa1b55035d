"""Two copies of one numbered stream, each of which drops, delays, repeats and reorders: the merged one accounts for
every number, once and in order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cex.feeds import Arbiter, Gap

HOLD_NS = 100


@dataclass(frozen=True)
class Diff:
    """What a test sends: its own number and what it covers."""

    first: int
    final: int


def spans(widths: list[int]) -> list[Diff]:
    """Give consecutive diffs of these widths, from 1 on."""
    diffs, first = [], 1
    for width in widths:
        diffs.append(Diff(first, first + width - 1))
        first += width
    return diffs


class Merged:
    """Feeds an arbiter and checks each thing it tells as it comes."""

    def __init__(self, lines: int) -> None:
        self.arbiter: Arbiter[Diff] = Arbiter(hold_ns=HOLD_NS)
        self.last: int | None = None
        self.told: list[Diff] = []
        self.gaps: list[Gap] = []
        self.brought: set[Diff] = set()
        for line in range(lines):
            self.arbiter.open(line)

    def take(self, line: int, diff: Diff, now_ns: int = 0) -> None:
        self.brought.add(diff)
        self.check(self.arbiter.take(line, diff.first, diff.final, diff, now_ns))

    def check(self, items: list[Diff | Gap]) -> None:
        for item in items:
            if isinstance(item, Gap):
                assert self.last is not None
                assert item.first == self.last + 1 <= item.last
                missing = set(range(item.first, item.last + 1))
                assert not any(missing & set(range(d.first, d.final + 1)) for d in self.brought), "it was brought"
                self.gaps.append(item)
                self.last = item.last
            else:
                assert self.last is None or (item.first <= self.last + 1 and item.final > self.last)
                self.told.append(item)
                self.last = item.final
        assert self.last == self.arbiter.last


@st.composite
def schedules(draw: st.DrawFn, *, in_order: bool) -> tuple[list[Diff], list[tuple[int, Diff]]]:
    """Draw a stream and what two lines deliver of it, in the order of arrival."""
    diffs = spans(draw(st.lists(st.integers(1, 3), min_size=1, max_size=25)))
    queues: list[list[Diff]] = []
    lost = draw(
        st.lists(
            st.sampled_from([(), (0,), (1,)] if in_order else [(), (0,), (1,), (0, 1)]),
            min_size=len(diffs),
            max_size=len(diffs),
        )
    )
    for line in range(2):
        queue = [diff for diff, by in zip(diffs, lost, strict=True) if line not in by]
        if not in_order:
            for _ in range(draw(st.integers(0, 4))):
                if queue:
                    queue.insert(draw(st.integers(0, len(queue))), draw(st.sampled_from(queue)))
            for _ in range(draw(st.integers(0, 4))):
                if len(queue) > 1:
                    at = draw(st.integers(0, len(queue) - 2))
                    queue[at], queue[at + 1] = queue[at + 1], queue[at]
        queues.append(queue)
    arrivals: list[tuple[int, Diff]] = []
    while any(queues):
        line = draw(st.sampled_from([n for n in range(2) if queues[n]]))
        arrivals.append((line, queues[line].pop(0)))
    return diffs, arrivals


@given(schedules(in_order=True))
def test_what_either_line_brings_is_told_without_a_gap(drawn: tuple[list[Diff], list[tuple[int, Diff]]]) -> None:
    """Lines that deliver in order and lose different messages: each hole of one is closed by the other."""
    diffs, arrivals = drawn
    merged = Merged(2)
    for line, diff in arrivals:
        merged.take(line, diff)
    assert merged.gaps == []
    begun = merged.told[0]
    assert merged.told == diffs[diffs.index(begun) :]


@given(schedules(in_order=False), st.lists(st.integers(0, HOLD_NS), min_size=1, max_size=60), st.booleans())
def test_every_number_is_accounted_for_once(
    drawn: tuple[list[Diff], list[tuple[int, Diff]]], delays: list[int], one_dies: bool
) -> None:
    """Under drops on both lines, delays beyond the hold, duplicates, reordering and the loss of a line."""
    _, arrivals = drawn
    merged, now_ns = Merged(2), 0
    for number, (line, diff) in enumerate(arrivals):
        now_ns += delays[number % len(delays)]
        due_ns = merged.arbiter.due_ns
        if due_ns is not None and now_ns >= due_ns:
            merged.check(merged.arbiter.expire(due_ns))
        if one_dies and line == 1 and number > len(arrivals) // 2:
            merged.check(merged.arbiter.close(1, now_ns))
            continue
        merged.take(line, diff, now_ns)
    merged.check(merged.arbiter.expire(now_ns + 100 * HOLD_NS))
    merged.check(merged.arbiter.close(0, now_ns) + merged.arbiter.close(1, now_ns))
    assert merged.arbiter.due_ns is None
    assert merged.last == max((diff.final for diff in merged.brought), default=None)


def test_hole_is_given_up_at_once_when_every_line_is_past_it() -> None:
    merged = Merged(2)
    for line, number in ((0, 1), (1, 1), (0, 3)):
        merged.take(line, Diff(number, number))
    assert merged.told == [Diff(1, 1)], "line 1 may still bring 2"
    merged.take(1, Diff(4, 4))
    assert (merged.gaps, merged.last) == ([Gap(2, 2)], 4)


def test_hole_is_given_up_after_the_hold_when_the_other_line_is_silent() -> None:
    merged = Merged(2)
    merged.take(0, Diff(1, 1), 0)
    merged.take(0, Diff(3, 3), 10)
    merged.check(merged.arbiter.expire(10 + HOLD_NS - 1))
    assert merged.gaps == []
    merged.check(merged.arbiter.expire(10 + HOLD_NS))
    assert (merged.gaps, merged.last) == ([Gap(2, 2)], 3)


def test_silent_line_is_named_and_a_slow_one_is_not() -> None:
    arbiter: Arbiter[str] = Arbiter(hold_ns=HOLD_NS)
    for line in range(3):
        arbiter.open(line)
        arbiter.take(line, 1, 1, "", 0)
    for number, now_ns in ((2, 10), (3, 20), (4, 30)):
        arbiter.take(0, number, number, "", now_ns)
        arbiter.take(1, number - 1, number - 1, "", now_ns)
    assert arbiter.stalled(30, 20) == [2]
    assert arbiter.stalled(29, 20) == []


def test_new_line_carries_on_only_once_it_brought_something() -> None:
    arbiter: Arbiter[str] = Arbiter(hold_ns=HOLD_NS)
    arbiter.open(0)
    arbiter.take(0, 1, 1, "", 0)
    arbiter.open(1)
    arbiter.close(0, 1)
    assert arbiter.carriers == 0
    arbiter.vouch(frozenset({1}))
    assert arbiter.carriers == 1


def test_venue_that_counts_anew_is_followed() -> None:
    merged = Merged(1)
    merged.take(0, Diff(1_000, 1_000))
    merged.arbiter.close(0, 0)
    merged.arbiter.open(5)
    assert merged.arbiter.take(5, 1, 1, Diff(1, 1), 1) == [Diff(1, 1)]
    assert merged.arbiter.last == 1
