"""The estimate of a venue's clock: right within the round trips it was made of, and wrong for no longer than it takes
to ask once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.skew import DRIFT_MS, KEPT, Sample, Skew
from runtime import ManualClock
from tests.cex.lab import SandboxLab, sandbox_lab

MS = 1_000_000
TRIPS = st.tuples(st.integers(0, 400 * MS), st.integers(0, 400 * MS))


def sample(ahead_ns: int, there_ns: int, back_ns: int, at_ns: int = 10**18) -> Sample:
    """What is measured when the venue's clock is read after `there_ns` on the way."""
    return Sample(at_ns, (at_ns + there_ns - ahead_ns) // MS, at_ns + there_ns + back_ns)


@given(st.integers(-(10**12), 10**12), st.lists(TRIPS, min_size=1, max_size=30))
def test_estimate_is_within_the_round_trips_it_was_made_of(ahead_ns: int, trips: list[tuple[int, int]]) -> None:
    skew = Skew()
    for there_ns, back_ns in trips:
        one = sample(ahead_ns, there_ns, back_ns)
        assert not skew.contradicts(one), "all of them are true"
        assert abs(one.ahead_ms - ahead_ns / MS) <= one.error_ms + 1e-3
        skew.add(one)
    kept = sorted(there + back for there, back in trips[-KEPT:])[:5]
    assert abs(skew.ahead_ms - ahead_ns / MS) <= kept[-1] / 2 / MS + 0.5 + 1e-3


@given(st.integers(0, 10**12), TRIPS, TRIPS, st.booleans())
def test_jump_that_no_round_trip_explains_is_seen(
    jump_ns: int, before: tuple[int, int], after: tuple[int, int], forth: bool
) -> None:
    skew, first = Skew(), sample(0, *before)
    skew.add(first)
    then = sample(jump_ns if forth else -jump_ns, *after)
    if jump_ns / MS > 2 * (first.error_ms + then.error_ms) + DRIFT_MS:
        assert skew.contradicts(then)


def test_slow_answers_do_not_move_the_estimate() -> None:
    skew = Skew()
    for _ in range(5):
        skew.add(sample(0, 2 * MS, 2 * MS))
    for _ in range(9):
        skew.add(sample(0, 300 * MS, 0))
    assert abs(skew.ahead_ms) <= 2.5


@pytest.mark.parametrize("feed", ["auto", "ccxt"])
@pytest.mark.parametrize("skew_ms", [-5_000, 5_000])
async def test_exchange_whose_clock_jumps_is_followed_with_the_next_sample(feed: str, skew_ms: int) -> None:
    async with sandbox_lab(feed=feed) as lab:
        connection = lab.venue._connection
        before = connection.skew.ahead_ms
        await lab.fault(fault="clock_skew", skew_ms=skew_ms)
        await connection.follow_clock()
        bound = max(one.error_ms for one in connection.skew._samples)
        assert abs(connection.skew.ahead_ms - before + skew_ms) <= 2 * bound + DRIFT_MS
        await orders_are_taken(lab)


async def test_our_own_clock_that_was_set_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for an order to be refused."""
    monkeypatch.setattr("cex.connection.CLOCK_LOOK_S", 0.0)
    async with sandbox_lab() as lab:
        connection = lab.venue._connection
        before, clock = connection.skew.ahead_ms, connection.clock

        class Ahead(ManualClock):
            def now_ns(self) -> int:
                return clock.now_ns() + 3_000 * MS

            def monotonic_ns(self) -> int:
                return clock.monotonic_ns()

        connection.clock = Ahead()
        while abs(connection.skew.ahead_ms - before - 3_000) > 500:
            await lab.round_trip()
        await orders_are_taken(lab)


async def orders_are_taken(lab: SandboxLab) -> None:
    """A signed question is answered."""
    assert await lab.venue.open_orders() == []
