"""A replica in the state that a swap would leave: exact, cheap, and apart from the one it came from."""

from __future__ import annotations

import pickle
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import ChainClient
from chain.devnet import Devnet
from dex import PoolReplica, V2Pool, V3Pool
from dex.replicas.concentrated import ConcentratedPool
from dex.replicas.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at, tick_at
from domain import InputError, Refused
from domain.events import PoolLiquidityChanged
from tests.dex.books import BASE, QUOTE, random_pool
from tests.dex.trader import Trader, asset_id


@given(st.one_of(st.integers(MIN_SQRT_PRICE, MAX_SQRT_PRICE - 1), st.integers(0, 159).map(lambda bit: 1 << bit)))
def test_a_price_lies_between_its_tick_and_the_next(price: int) -> None:
    if not MIN_SQRT_PRICE <= price < MAX_SQRT_PRICE:
        with pytest.raises(InputError):
            tick_at(price)
        return
    assert sqrt_price_at(tick_at(price)) <= price < sqrt_price_at(tick_at(price) + 1)


@given(st.integers(MIN_TICK, MAX_TICK - 1))
def test_a_tick_begins_at_its_own_price_and_not_before(tick: int) -> None:
    assert tick_at(sqrt_price_at(tick)) == tick
    if tick > MIN_TICK:
        assert tick_at(sqrt_price_at(tick) - 1) == tick - 1


def _state(pool: PoolReplica) -> tuple[object, ...]:
    if isinstance(pool, V2Pool):
        return pool.reserve0, pool.reserve1
    assert isinstance(pool, ConcentratedPool)
    return pool.sqrt_price_x96, pool.tick, pool.liquidity, pool.ticks


def _amount(chance: random.Random, token: str) -> int:
    return int(10 ** chance.uniform(1, 19 if token == BASE else 10))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_swap_in_two_halves_leaves_the_state_of_quotes_taken_one_after_the_other(seed: int) -> None:
    chance = random.Random(seed)
    pool = random_pool(chance)
    token = chance.choice([BASE, QUOTE])
    first, second = _amount(chance, token), _amount(chance, token)
    untouched = _state(pool)
    try:
        whole = pool.quote_exact_in_down(token, first + second)
        out = pool.quote_exact_in_down(token, first)
        then = pool.after_exact_in(token, first)
        parts = out + then.quote_exact_in_down(token, second)
        assert parts <= whole + 1
        # V3 keeps its fees apart: cutting an input only rounds fee and price once more. V2 charges on the way, too.
        is_path_free = isinstance(pool, V3Pool)
        if is_path_free and first + second > 3:
            assert parts >= pool.quote_exact_in_down(token, first + second - 3) - 3
        # What came out put back in never returns more than went in.
        if out:
            assert then.quote_exact_in_down(pool.other(token), out) <= first
        if is_path_free:
            assert then.marginal_price(token) == pytest.approx(pool.marginal_price(token, amount_in=first), rel=1e-6)
    except Refused as exc:
        assert exc.rule == "pool_depth"  # noqa: PT017 - too deep is a fair answer here
    assert _state(pool) == untouched


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_forks_and_their_origin_do_not_see_each_others_changes(seed: int) -> None:
    chance = random.Random(seed)
    pool = random_pool(chance)
    while not isinstance(pool, V3Pool):
        pool = random_pool(chance)
    token = chance.choice([BASE, QUOTE])
    try:
        fork = pool.after_exact_in(token, _amount(chance, token))
    except Refused:
        return
    probes = [(t, _amount(chance, t)) for t in (BASE, QUOTE) for _ in range(6)]
    before_pool, before_fork = _answers(pool, probes), _answers(fork, probes)
    spacing = pool.tick_spacing
    lower = pool.tick // spacing * spacing - spacing * chance.randint(0, 20)
    mint = PoolLiquidityChanged(
        time_ns=0,
        pool="p",
        block_number=9,
        tick_lower=lower,
        tick_upper=lower + 9 * spacing,
        liquidity_delta=str(10**18),
    )
    changed, same = (pool, fork) if chance.random() < 0.5 else (fork, pool)
    changed.apply(mint)
    assert _answers(same, probes) == (before_fork if same is fork else before_pool)
    changed.apply(msgspec.structs.replace(mint, liquidity_delta=str(-(10**18))))
    assert _answers(changed, probes) == (before_pool if changed is pool else before_fork)


def _answers(pool: PoolReplica, probes: list[tuple[str, int]]) -> list[int]:
    answers = []
    for token, amount in probes:
        for ask in (pool.quote_exact_in_down, pool.quote_exact_out_up):
            try:
                answers.append(ask(token, amount))
            except Refused:
                answers.append(-1)
    return answers


def test_a_replica_that_has_quoted_goes_to_another_process() -> None:
    chance = random.Random(8)
    for _ in range(6):
        pool = random_pool(chance)
        probes = [(token, _amount(chance, token)) for token in (BASE, QUOTE) for _ in range(6)]
        answers = _answers(pool, probes)
        assert _answers(pickle.loads(pickle.dumps(pool)), probes) == answers


def test_the_other_token_may_be_named_and_must_then_be_the_pools() -> None:
    chance = random.Random(1)
    for _ in range(6):
        pool = random_pool(chance)
        assert pool.tokens == (pool.token0, pool.token1)
        assert pool.quote_exact_in_down(BASE, 10**9, QUOTE) == pool.quote_exact_in_down(BASE, 10**9)
        assert pool.mid_price_raw(BASE) * pool.mid_price_raw(QUOTE, BASE) == 1
        assert pool.mid_price_raw() == pool.mid_price_raw(pool.token0)
        for ask in (pool.quote_exact_in_down, pool.quote_exact_out_up, pool.after_exact_in, pool.after_exact_out):
            with pytest.raises(InputError, match="for itself"):
                ask(BASE, 10**9, BASE)
            with pytest.raises(InputError, match="does not trade"):
                ask(BASE, 10**9, "other")


@pytest.mark.anvil
@pytest.mark.parametrize("kind", ["v2", "v3"])
async def test_the_state_foreseen_is_the_state_that_the_executed_swap_leaves(
    devnet: Devnet, chain_client: ChainClient, kind: str
) -> None:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    chance = random.Random(11)
    pool = devnet.world.pool(kind, "WETH", "USDC", 3000)
    spec = trader.specs[pool.address]
    if kind == "v3":
        first = await trader.tick(pool) // 60 * 60
        for i in range(-6, 6):
            await trader.mint(pool, first + i * 60, first + i * 60 + 60, 10**11, 4 * 10**19)
    replica = await trader.replica(pool)
    for _ in range(12):
        token = chance.choice([spec.token0, spec.token1])
        amount = int(10 ** chance.uniform(0, token.decimals + 1.7))
        if chance.random() < 0.3 and isinstance(replica, V3Pool):  # Exactly to a boundary.
            walk = list(zip(range(6), replica.pieces(token.id), strict=False))
            amount = max(1, sum(int(piece.in_size) for _, piece in walk[: chance.randint(1, 5)]))
        foreseen = replica.after_exact_in(token.id, amount)
        await trader.swap(pool, spec.address_of(token.id), amount)
        replica = await trader.replica(pool)
        assert _state(foreseen) == _state(replica), (token.symbol, amount)
        assert asset_id(spec, spec.address_of(token.id)) == token.id
