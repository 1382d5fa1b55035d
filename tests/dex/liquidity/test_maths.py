"""The maths without a chain: what must hold whatever the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.liquidity import Range, amounts_down, amounts_up, fees_down, growth_inside, liquidity_down, tick_at
from dex.liquidity.bounds import intake, price_band, release_min
from dex.replicas.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at
from domain import InputError

ticks = st.integers(MIN_TICK, MAX_TICK - 1)
prices = st.integers(MIN_SQRT_PRICE, MAX_SQRT_PRICE - 1)
amounts = st.integers(0, 10**30)


@st.composite
def ranges(draw, low=-200_000, high=200_000):
    lower = draw(st.integers(low, high - 1))
    return Range(lower, draw(st.integers(lower + 1, high)))


@given(ticks)
def test_the_tick_of_a_ticks_own_price_is_that_tick(tick):
    assert tick_at(sqrt_price_at(tick)) == tick
    if tick > MIN_TICK:
        assert tick_at(sqrt_price_at(tick) - 1) == tick - 1


@given(prices)
def test_a_price_lies_between_its_tick_and_the_next(price):
    tick = tick_at(price)
    assert sqrt_price_at(tick) <= price < sqrt_price_at(tick + 1)


@given(ranges(), st.integers(-210_000, 210_000), amounts, amounts)
def test_liquidity_never_takes_more_than_what_it_was_reckoned_from(span, tick, amount0, amount1):
    price = sqrt_price_at(tick)
    try:
        liquidity = liquidity_down(price, span, amount0, amount1)
    except InputError:
        return  # more than a pool can count
    taken = amounts_up(price, tick, span, liquidity)
    assert taken[0] <= amount0
    assert taken[1] <= amount1
    given_back = amounts_down(price, tick, span, liquidity)
    assert 0 <= taken[0] - given_back[0] <= 2
    assert 0 <= taken[1] - given_back[1] <= 1


@given(ranges(), st.integers(-210_000, 210_000), st.integers(1, 10**25))
def test_a_position_split_in_two_gives_no_more_than_the_whole(span, tick, liquidity):
    price = sqrt_price_at(tick)
    whole = amounts_down(price, tick, span, liquidity)
    parts = [amounts_down(price, tick, span, part) for part in (liquidity // 3, liquidity - liquidity // 3)]
    assert parts[0][0] + parts[1][0] <= whole[0]
    assert parts[0][1] + parts[1][1] <= whole[1]


@given(ranges(-100_000, 100_000), st.integers(-110_000, 110_000), st.integers(10**9, 10**24), st.integers(0, 3_000))
def test_bounds_hold_everywhere_in_the_band(span, tick, amount, tolerance):
    price = sqrt_price_at(tick)
    try:
        taken = intake(price, tick, span, (amount, amount), tolerance)
    except InputError:
        return
    low, high = price_band(price, tolerance)
    for moved in (low, (low + price) // 2, price, (high + price) // 2, high):
        there = tick_at(moved)
        with_exact_liquidity = amounts_up(moved, there, span, taken.liquidity)
        assert all(a <= b for a, b in zip(with_exact_liquidity, taken.at_most, strict=True))
        with_all = amounts_up(moved, there, span, liquidity_down(moved, span, amount, amount))
        assert all(a >= b for a, b in zip(with_all, taken.at_least, strict=True))
        least = release_min(price, tick, span, taken.liquidity, tolerance)
        out = amounts_down(moved, there, span, taken.liquidity)
        assert all(a >= b for a, b in zip(out, least, strict=True))


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**200), st.integers(0, 2**128 - 1))
def test_fees_survive_the_counter_running_over(last, earned, liquidity):
    assert fees_down((last + earned) % 2**256, last, liquidity) == earned * liquidity >> 128


def test_growth_inside_counts_only_what_was_earned_within():
    span = Range(-10, 10)
    # Outside counters hold what was earned on the other side of each tick from where the price is.
    assert growth_inside(0, span, 100, 30, 20) == 50
    assert growth_inside(-11, span, 100, 30, 20) == 10
    assert growth_inside(10, span, 100, 30, 45) == 15


def test_ranges_are_checked():
    for lower, upper, spacing in ((10, 10, 1), (20, 10, 1), (MIN_TICK - 1, 0, 1), (0, MAX_TICK + 1, 1), (0, 1, 0)):
        with pytest.raises(InputError):
            Range(lower, upper, spacing)
    with pytest.raises(InputError, match="spacing of 60") as refused:
        Range(-100, 120, 60)
    assert "-120..120" in refused.value.hint
    with pytest.raises(InputError, match="no liquidity"):
        intake(sqrt_price_at(0), 0, Range(100, 200), (0, 10**18), 50)
    with pytest.raises(InputError, match="tolerance"):
        price_band(2**96, 10_000)
