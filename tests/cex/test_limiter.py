"""Budgets: never beyond the venue's limits, cancels always first, orders never late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.limiter import CANCEL_RESERVE, Bucket, Budget, Lane, Limiter, buckets_of, default_buckets
from domain import VenueUnavailable
from runtime import ManualClock

SECOND = 1_000_000_000
NOON = 1_800_000_000 * SECOND


def budget(limit: int = 100) -> Budget:
    return Budget([Bucket("weight", limit, 60 * SECOND), Bucket("orders", limit, 10 * SECOND)])


def test_orders_leave_room_for_cancels() -> None:
    budget_ = budget()
    taken = 0
    while budget_.take(Lane.ORDER, {"weight": 1, "orders": 1}, NOON) == 0:
        taken += 1
    assert taken == 100 - int(100 * CANCEL_RESERVE)
    assert budget_.take(Lane.CANCEL, {"weight": 1}, NOON) == 0


def test_a_new_window_is_a_new_budget() -> None:
    budget_ = budget(10)
    while budget_.take(Lane.QUERY, {"weight": 1}, NOON) == 0:
        pass
    wait_ns = budget_.take(Lane.QUERY, {"weight": 1}, NOON + 20 * SECOND)
    assert wait_ns == 40 * SECOND
    assert budget_.take(Lane.QUERY, {"weight": 1}, NOON + 60 * SECOND) == 0


def test_all_buckets_or_none() -> None:
    budget_ = Budget([Bucket("weight", 100, SECOND), Bucket("orders", 1, SECOND)])
    assert budget_.take(Lane.ORDER, {"weight": 1, "orders": 1}, NOON) > 0
    assert [bucket.used for bucket in budget_.buckets] == [0, 0]


def test_the_venues_count_is_believed_when_higher() -> None:
    clock = ManualClock(NOON)
    limiter = Limiter(budget(), clock)
    limiter.observe(200, {"X-MBX-USED-WEIGHT-1M": "95", "X-MBX-ORDER-COUNT-10S": "3", "Date": "x"})
    assert [bucket.used for bucket in limiter.budget.buckets] == [95, 3]
    limiter.observe(200, {"x-mbx-used-weight-1m": "5"})
    assert limiter.budget.buckets[0].used == 95


async def test_orders_are_refused_rather_than_late() -> None:
    limiter = Limiter(Budget([Bucket("orders", 2, 10 * SECOND)]), ManualClock(NOON))
    await limiter.enter(Lane.ORDER, orders=1)
    with pytest.raises(VenueUnavailable, match="throttled"):
        await limiter.enter(Lane.ORDER, orders=1)


async def test_429_stops_everything_for_as_long_as_it_says() -> None:
    clock = ManualClock(NOON)
    limiter = Limiter(budget(), clock)
    limiter.observe(429, {"Retry-After": "30"})
    with pytest.raises(VenueUnavailable):
        await limiter.enter(Lane.CANCEL)
    clock.advance(seconds=30)
    await limiter.enter(Lane.CANCEL)


def test_limits_are_read_from_the_exchange_information() -> None:
    rows = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
        {"rateLimitType": "CONNECTIONS", "interval": "MINUTE", "intervalNum": 5, "limit": 300},
    ]
    assert [(b.kind, b.limit, b.window_ns // SECOND) for b in buckets_of(rows)] == [
        ("weight", 6000, 60),
        ("orders", 100, 10),
        ("requests", 61000, 300),
    ]
    assert [(b.kind, b.limit) for b in default_buckets(50)] == [("requests", 200)]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.integers(1, 30), st.integers(0, 20 * SECOND)), min_size=1, max_size=60
    )
)
def test_no_window_ever_exceeds_its_limit(steps: list[tuple[Lane, int, int]]) -> None:
    budget_ = Budget([Bucket("weight", 50, 10 * SECOND)])
    now, taken = NOON, dict[int, int]()
    for lane, weight, later in steps:
        now += later
        if budget_.take(lane, {"weight": weight}, now) == 0:
            window = now // (10 * SECOND)
            taken[window] = taken.get(window, 0) + weight
    assert all(total <= 50 for total in taken.values())
