"""V3 positions on the genuine contracts: what is planned is what moves, what is read is what is paid."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet
from dex.liquidity import PositionId, Range, find, plan_add, plan_burn, plan_collect, plan_mint, plan_remove
from dex.liquidity.allowances import plan_leftovers, read_allowed
from domain import InputError
from tests.dex.liquidity.provider import OWNER, RICH, Provider
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil


@pytest.fixture
async def provider(devnet: Devnet, chain_client: ChainClient) -> Provider:
    await devnet.fund(OWNER, 0, RICH)
    return Provider(devnet, chain_client)


@pytest.fixture
async def trader(devnet: Devnet, chain_client: ChainClient) -> Trader:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    return trader


async def around(provider: Provider, spec, below: int, above: int) -> Range:
    now, spacing = await provider.reader.pool(spec), await provider.reader.spacing(spec)
    at = now.tick // spacing
    return Range((at + below) * spacing, (at + above) * spacing, spacing)


async def test_a_positions_life_is_exact_to_the_unit(provider: Provider, trader: Trader):
    spec = provider.spec("v3", "WETH", "USDC", 500)
    pool = provider.devnet.world.pool("v3", "WETH", "USDC", 500)
    span = await around(provider, spec, -12, 20)
    planned = plan_mint(provider.order(), await provider.reader.pool(spec), span, (10**11, 10**20))
    moved = await provider.carry_out(planned)
    assert moved == tuple(-amount for amount in planned.expected)

    (position,) = await provider.reader.of_owner(OWNER)
    assert (position.liquidity, position.span, position.fees) == (planned.liquidity, span, (0, 0))
    assert position.is_earning
    for token, amount in ((pool.token0, 10**12), (pool.token1, 3 * 10**20), (pool.token0, 7 * 10**10)):
        await trader.swap(pool, token, amount)
    (position,) = await provider.reader.of_owner(OWNER)
    assert all(position.fees)
    assert position.amounts != planned.expected

    taken = plan_collect(provider.order(), position)
    assert await provider.carry_out(taken) == position.fees == taken.expected
    (position,) = await provider.reader.of_owner(OWNER)
    assert position.fees == (0, 0)

    more = plan_add(provider.order(), position, (10**10, 10**19))
    assert await provider.carry_out(more) == tuple(-amount for amount in more.expected)
    await trader.swap(pool, pool.token1, 10**20)
    (position,) = await provider.reader.of_owner(OWNER)
    assert position.liquidity == planned.liquidity + more.liquidity

    less = plan_remove(provider.order(), position, position.liquidity // 3)
    assert await provider.carry_out(less) == less.expected
    (position,) = await provider.reader.of_owner(OWNER)
    assert position.fees == (0, 0)
    await trader.swap(pool, pool.token0, 10**11)
    (position,) = await provider.reader.of_owner(OWNER)
    end = plan_burn(provider.order(), position)
    assert await provider.carry_out(end) == end.expected
    assert await provider.reader.of_owner(OWNER) == []
    with pytest.raises(InputError, match=f"no position {position.id}"):
        await provider.reader.read([position.id])


@pytest.mark.parametrize("seed", range(2))
async def test_random_ranges_take_and_give_what_is_computed(provider: Provider, trader: Trader, seed: int):
    rng = random.Random(seed)
    pools = [("WETH", 500), ("WETH", 3000), ("WBTC", 500)]
    expected = {}
    for _ in range(5):
        symbol, fee = rng.choice(pools)
        spec = provider.spec("v3", symbol, "USDC", fee)
        below = rng.randrange(-60, 60)
        span = await around(provider, spec, below, below + rng.randrange(1, 50))
        given = (10 ** rng.randrange(9, 12), 10 ** rng.randrange(9, 12))
        planned = plan_mint(provider.order(), await provider.reader.pool(spec), span, given)
        assert await provider.carry_out(planned) == tuple(-amount for amount in planned.expected)
        expected[max(p.id.number for p in await provider.reader.of_owner(OWNER))] = planned.liquidity
        pool = provider.devnet.world.pool("v3", symbol, "USDC", fee)
        await trader.swap(pool, rng.choice((pool.token0, pool.token1)), 10 ** rng.randrange(8, 11))
    positions = await provider.reader.of_owner(OWNER)
    assert {position.id.number: position.liquidity for position in positions} == expected
    for position in positions:
        (fresh,) = await provider.reader.read([position.id])
        end = plan_burn(provider.order(), fresh)
        assert await provider.carry_out(end) == end.expected


async def test_a_price_that_moved_too_far_reverts_and_moves_nothing(provider: Provider, trader: Trader):
    spec = provider.spec("v3", "WETH", "USDC", 3000)
    pool = provider.devnet.world.pool("v3", "WETH", "USDC", 3000)
    span = await around(provider, spec, -20, 20)
    planned = plan_mint(provider.order(tolerance_bps=20), await provider.reader.pool(spec), span, (10**11, 10**20))
    await trader.swap(pool, pool.token1, 10**21)
    with pytest.raises(AssertionError):
        await provider.carry_out(planned)
    assert await provider.reader.of_owner(OWNER) == []
    late = plan_mint(provider.order(deadline_s=1), await provider.reader.pool(spec), span, (10**11, 10**20))
    assert not (await provider.send(late.plan)).succeeded


async def test_what_is_left_of_an_allowance_is_taken_back(provider: Provider):
    spec = provider.spec("v3", "WETH", "USDC", 500)
    span = await around(provider, spec, -10, 10)
    planned = plan_mint(provider.order(), await provider.reader.pool(spec), span, (10**11, 10**20))
    await provider.carry_out(planned)
    left = [allowed.token for allowed in await read_allowed(provider.client, planned.needs, OWNER)]
    assert sum(map(bool, left)) == 1  # One amount limits, of the other something is left.
    for plan in await plan_leftovers(provider.client, planned.needs, planned.plan):
        assert (await provider.send(plan)).succeeded
    assert not any(allowed.token for allowed in await read_allowed(provider.client, planned.needs, OWNER))
    assert await plan_leftovers(provider.client, planned.needs, planned.plan) == []


async def test_somebody_elses_position_is_not_planned_for(provider: Provider):
    spec = provider.spec("v3", "WETH", "USDC", 500)
    span = await around(provider, spec, -10, 10)
    await provider.carry_out(plan_mint(provider.order(), await provider.reader.pool(spec), span, (10**10, 10**19)))
    (position,) = await provider.reader.of_owner(OWNER)
    foreign = replace(position, owner=TEST_ADDRESSES[4])
    for plan in (plan_collect, plan_burn):
        with pytest.raises(InputError, match="belongs to"):
            plan(provider.order(), foreign)
    for liquidity in (0, position.liquidity + 1):
        with pytest.raises(InputError, match="cannot be taken out"):
            plan_remove(provider.order(), position, liquidity)
    assert find([position], position.id) is position
    with pytest.raises(InputError, match="no position v4:1") as refused:
        find([position], PositionId.parse("v4:1"))
    assert str(position.id) in refused.value.hint
