"""What a replica believes, and when it refuses."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dex import V2Pool, V3Pool
from dex.replicas.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at
from domain import InputError, InvariantError, Refused
from domain.events import PoolInvalidated, PoolLiquidityChanged, PoolSnapshotted, PoolSwapped, PoolSynced
from tests.dex.books import BASE, QUOTE, random_pool, ranges_to_ticks, v3_snapshot


def _pool() -> V3Pool:
    pool = V3Pool("p", BASE, QUOTE, 500)
    pool.apply(v3_snapshot(ranges_to_ticks([(-100, 100, 10**18), (0, 50, 10**17)]), 7))
    return pool


def _liquidity(lower: int, upper: int, delta: int, block: int = 6) -> PoolLiquidityChanged:
    return PoolLiquidityChanged(
        time_ns=0, pool="p", block_number=block, tick_lower=lower, tick_upper=upper, liquidity_delta=str(delta)
    )


# TickMath.spec.ts of Uniswap v3-core, "getSqrtRatioAtTick".
@pytest.mark.parametrize(
    ("tick", "expected"),
    [
        (MIN_TICK, MIN_SQRT_PRICE),
        (MIN_TICK + 1, 4295343490),
        (MAX_TICK - 1, 1461373636630004318706518188784493106690254656249),
        (MAX_TICK, MAX_SQRT_PRICE),
        (0, 2**96),
        (50, 79426470787362580746886972461),
        (-50, 79030349367926598376800521322),
        (150_000, 143194173941309278083010301478497),
    ],
)
def test_square_root_prices_are_the_published_ones(tick: int, expected: int) -> None:
    assert sqrt_price_at(tick) == expected


def test_ticks_beyond_the_range_are_refused() -> None:
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(InputError):
            sqrt_price_at(tick)


def test_nothing_is_quoted_before_a_snapshot_after_an_invalidation_and_until_the_next_snapshot() -> None:
    pool = V3Pool("p", BASE, QUOTE, 500)
    snapshot = v3_snapshot(ranges_to_ticks([(-100, 100, 10**18)]), 7)
    for expected in (False, True, False, True):
        assert pool.is_valid is expected
        if expected:
            assert pool.quote_exact_in_down(BASE, 10**6) > 0
            pool.apply(PoolInvalidated(time_ns=0, pool="p", reason="reorg"))
        else:
            for ask in (pool.quote_exact_in_down, pool.quote_exact_out_up):
                with pytest.raises(Refused) as refused:
                    ask(BASE, 10**6)
                assert refused.value.rule == "stale_replica"
            pool.apply(_liquidity(-10, 10, 5))  # Ignored: there is nothing to add it to.
            pool.apply(snapshot)


def test_events_of_blocks_the_snapshot_holds_are_not_applied_twice() -> None:
    pool = _pool()
    before = pool.ticks
    pool.apply(_liquidity(-100, 100, 10**18, block=5))
    assert pool.ticks == before
    pool.apply(_liquidity(-100, 100, 10**18, block=6))
    assert pool.ticks != before
    assert pool.block_number == 6


def test_a_burn_of_more_than_is_there_invalidates() -> None:
    pool = _pool()
    pool.apply(_liquidity(0, 50, -(10**17) - 1))
    assert not pool.is_valid
    with pytest.raises(Refused, match="exceeds what the replica holds"):
        pool.quote_exact_in_down(BASE, 1)


def test_a_tick_vanishes_with_its_last_gross_liquidity_not_with_its_net() -> None:
    pool = _pool()
    pool.apply(_liquidity(50, 90, 10**17))  # Cancels the net of tick 50.
    assert (50, 0, 2 * 10**17) in pool.ticks
    pool.apply(_liquidity(50, 90, -(10**17)))
    pool.apply(_liquidity(0, 50, -(10**17)))
    assert [tick for tick, _, _ in pool.ticks] == [-100, 100]
    assert pool.liquidity == 10**18


@pytest.mark.parametrize(
    "wrong",
    [
        {"tick_spacing": 0},
        {"ticks_gross": ()},
        {"liquidity": "1"},
        {"sqrt_price_x96": "0"},
        {"tick_spacing": 7},
    ],
)
def test_a_snapshot_that_contradicts_itself_is_not_believed(wrong: dict[str, object]) -> None:
    good = v3_snapshot(ranges_to_ticks([(-100, 100, 10**18)]), 7)
    pool = V3Pool("p", BASE, QUOTE, 500)
    pool.apply(PoolSnapshotted(**({name: getattr(good, name) for name in good.__struct_fields__} | wrong)))
    assert not pool.is_valid


def test_events_of_another_pool_or_kind_are_our_bug() -> None:
    with pytest.raises(InvariantError):
        _pool().apply(PoolInvalidated(time_ns=0, pool="other", reason=""))
    with pytest.raises(InvariantError):
        _pool().apply(PoolSynced(time_ns=0, pool="p", block_number=9, reserve0="1", reserve1="1"))
    with pytest.raises(InvariantError, match="expected"):
        V3Pool("p", BASE, QUOTE, 3000).apply(v3_snapshot({}, 0))
    pair = V2Pool("p", BASE, QUOTE)
    pair.apply(
        PoolSnapshotted(
            time_ns=0, pool="p", block_number=1, kind="v2", token0=BASE, token1=QUOTE, fee_pips=3000,
            reserve0="100", reserve1="100",
        )
    )  # fmt: skip
    with pytest.raises(InvariantError):
        pair.apply(PoolSwapped(time_ns=0, pool="p", block_number=9, sqrt_price_x96="1", tick=0, liquidity="1"))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_round_trip_of_quotes_creates_value(seed: int) -> None:
    chance = random.Random(seed)
    pool = random_pool(chance)
    token = chance.choice([BASE, QUOTE])
    amount = int(10 ** chance.uniform(1, 19 if token == BASE else 10))
    try:
        out = pool.quote_exact_in_down(token, amount)
        if out == 0:
            return
        # Buying that output costs at most the input given (the rest was too little to matter), and giving what it
        # costs yields at least the output.
        cost = pool.quote_exact_out_up(pool.other(token), out)
        assert cost <= amount
        assert pool.quote_exact_in_down(token, cost) >= out
        # The price only gets worse with size; one unit more covers what the fee's rounding took from the half.
        assert pool.quote_exact_in_down(token, 2 * amount) <= 2 * pool.quote_exact_in_down(token, amount + 1) + 2
    except Refused as exc:
        assert exc.rule == "pool_depth"  # noqa: PT017 - too deep is a fair answer here


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_replica_changed_step_by_step_quotes_like_one_built_at_once(seed: int) -> None:
    chance = random.Random(seed)
    ranges = [(-2000, 2000, 10**18)]
    price_tick = 0
    pool = V3Pool("p", BASE, QUOTE, 500)
    pool.apply(v3_snapshot(ranges_to_ticks(ranges), price_tick))
    for block in range(6, 40):
        what = chance.random()
        if what < 0.4:
            lower = chance.randint(-150, 140) * 10
            added = (lower, lower + chance.randint(1, 40) * 10, chance.randint(1, 10**18))
            ranges.append(added)
            pool.apply(_liquidity(*added, block=block))
        elif what < 0.6 and len(ranges) > 1:
            lower, upper, liquidity = ranges.pop(chance.randrange(1, len(ranges)))
            pool.apply(_liquidity(lower, upper, -liquidity, block=block))
        else:
            price_tick = chance.randint(-1800, 1800)
            liquidity = sum(amount for lower, upper, amount in ranges if lower <= price_tick < upper)
            pool.apply(
                PoolSwapped(
                    time_ns=0, pool="p", block_number=block, tick=price_tick,
                    sqrt_price_x96=str(sqrt_price_at(price_tick)), liquidity=str(liquidity),
                )
            )  # fmt: skip
        fresh = V3Pool("p", BASE, QUOTE, 500)
        fresh.apply(v3_snapshot(ranges_to_ticks(ranges), price_tick))
        for token in (BASE, QUOTE):
            amount = int(10 ** chance.uniform(0, 16.5))
            assert _quotes(pool, token, amount) == _quotes(fresh, token, amount)


def _quotes(pool: V3Pool, token: str, amount: int) -> list[int | str]:
    answers: list[int | str] = []
    for ask in (pool.quote_exact_in_down, pool.quote_exact_out_up):
        try:
            answers.append(ask(token, amount))
        except Refused as exc:
            answers.append(exc.rule)
    return answers
