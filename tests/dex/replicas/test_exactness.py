"""Replica quotes equal the contracts' own, to the last unit, in both directions and after any history."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chain import ChainClient
from chain.abi import address_at, address_word, int_at, int_word, selector, uint_at, uint_word
from chain.devnet import Devnet, PoolEntry
from dex import PoolReplica, PoolSpec, V3Pool
from dex.replicas.lens_code import lens_code
from domain import InputError, Refused
from tests.dex.trader import Trader, asset_id

pytestmark = pytest.mark.anvil


@pytest.fixture
async def trader(devnet: Devnet, chain_client: ChainClient) -> Trader:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    return trader


def _log_uniform(chance: random.Random, digits: float) -> int:
    """Amounts of every size, from one unit up."""
    return max(1, int(10 ** chance.uniform(0, digits)))


def _ours(quote: object, spec: PoolSpec, token: str, amount: int) -> int:
    assert callable(quote)
    try:
        return int(quote(asset_id(spec, token), amount))
    except Refused as exc:
        if exc.rule != "pool_depth":
            raise
        return -1


async def _compare(trader: Trader, pool: PoolEntry, replica: PoolReplica, chance: random.Random, count: int) -> int:
    """Compare random quotes; return how many were comparable (within the pool's liquidity)."""
    spec = trader.spec(pool)
    requests = []
    for _ in range(count):
        token = chance.choice([pool.token0, pool.token1])
        decimals = (spec.token0 if token == pool.token0 else spec.token1).decimals
        requests.append((token, _log_uniform(chance, decimals + 4.5)))
    on_chain = await trader.chain_quotes_in(pool, requests)
    compared = 0
    for (token, amount), theirs in zip(requests, on_chain, strict=True):
        ours = _ours(replica.quote_exact_in_down, spec, token, amount)
        if ours >= 0:
            assert ours == theirs, (pool, token, amount)
            compared += 1
    on_chain = await trader.chain_quotes_out(pool, requests)
    for (token, amount), theirs in zip(requests, on_chain, strict=True):
        assert _ours(replica.quote_exact_out_up, spec, token, amount) == theirs, (pool, token, amount)
    return compared


async def test_fresh_pools_quote_like_the_contracts_for_random_amounts(trader: Trader) -> None:
    chance = random.Random(20260101)
    for pool in trader.devnet.world.classic_pools:
        assert await _compare(trader, pool, await trader.replica(pool), chance, 120) > 100


@pytest.mark.parametrize("seed", range(3))
async def test_quotes_stay_exact_over_many_ticks_zero_net_ticks_and_gaps(trader: Trader, seed: int) -> None:
    chance = random.Random(seed)
    pool = trader.devnet.world.pool("v3", "WETH", "USDC", 500)
    tick = await trader.tick(pool)
    first = tick // 10 * 10
    for i in range(12):  # Neighbouring ranges: the inner ticks may cancel in net, and some are left out.
        lower = first + (i - 6) * 30
        if i != 8:
            await trader.mint(pool, lower, lower + 30, 10**11, 4 * 10**19)
    for _ in range(10):
        lower = first + chance.randint(-900, 900) * 10
        await trader.mint(pool, lower, lower + chance.randint(1, 300) * 10, 10**10, 10**19)
    replica = await trader.replica(pool)
    assert isinstance(replica, V3Pool)
    assert len(replica.ticks) > 30
    assert await _compare(trader, pool, replica, chance, 150) > 100
    # Exactly to a boundary, one before and one beyond it.
    spec = trader.specs[pool.address]
    for token in (pool.token0, pool.token1):
        whole = [int(piece.in_before) for piece in replica.pieces(asset_id(spec, token))][1:25]
        requests = [(token, amount + nudge) for amount in whole for nudge in (-1, 0, 1) if amount + nudge > 0]
        for (_, amount), theirs in zip(requests, await trader.chain_quotes_in(pool, requests), strict=True):
            assert replica.quote_exact_in_down(asset_id(spec, token), amount) == theirs


async def test_amounts_beyond_the_liquidity_are_refused_not_filled_in_part(trader: Trader) -> None:
    for pool in trader.devnet.world.classic_pools[:3]:
        replica, spec = await trader.replica(pool), trader.specs[pool.address]
        for token in (pool.token0, pool.token1):
            name = asset_id(spec, token)
            with pytest.raises(Refused, match="exceeds its liquidity"):
                replica.quote_exact_in_down(name, 10**45)
            with pytest.raises(Refused, match="exceeds its liquidity"):
                replica.quote_exact_out_up(name, 10**45)
            for nothing in (0, -1):
                with pytest.raises(InputError):
                    replica.quote_exact_in_down(name, nothing)
                with pytest.raises(InputError):
                    replica.quote_exact_out_up(name, nothing)
        with pytest.raises(InputError, match="does not trade"):
            replica.quote_exact_in_down("eip155:1/slip44:60", 1)


async def test_an_emptied_and_refilled_position_leaves_no_trace(trader: Trader) -> None:
    pool = trader.devnet.world.pool("v3", "WETH", "USDC", 3000)
    before = await trader.replica(pool)
    first = await trader.tick(pool) // 60 * 60
    position = await trader.mint(pool, first - 120, first + 120, 10**11, 10**20)
    grown = await trader.replica(pool)
    await trader.burn(position, 100)
    after = await trader.replica(pool)
    assert isinstance(before, V3Pool)
    assert isinstance(grown, V3Pool)
    assert isinstance(after, V3Pool)
    assert len(grown.ticks) == len(before.ticks) + 2
    assert after.ticks == before.ticks


async def test_a_pool_of_spacing_one_is_read_in_pages_and_quoted_exactly(trader: Trader) -> None:
    world = trader.devnet.world
    # The 6,932 bitmap words of fee tier 100 exceed one call's gas.
    model = world.pool("v3", "USDC", "WBTC", 500)
    key = address_word(model.token0) + address_word(model.token1) + uint_word(100)
    price = uint_at(await trader.client.call(model.address, selector("slot0()")), 0)
    create = selector("createAndInitializePoolIfNecessary(address,address,uint24,uint160)") + key + uint_word(price)
    manager = world.contracts["NonfungiblePositionManager"]
    await trader.send(manager, create)
    found = await trader.client.call(
        world.contracts["UniswapV3Factory"], selector("getPool(address,address,uint24)") + key
    )
    pool = PoolEntry("v3", address_at(found, 0), model.token0, model.token1, 100)
    spec = replace(trader.specs[model.address], address=pool.address, fee_pips=100)
    trader.specs[pool.address] = spec
    tick, chance = await trader.tick(pool), random.Random(3)
    edges = [(-887_272, 887_272)] + [
        (tick + chance.randint(-3000, 0), tick + chance.randint(1, 3000)) for _ in range(15)
    ]
    for lower, upper in edges:
        await trader.mint(pool, lower, upper, 10**9, 6 * 10**11)
    arguments = address_word(pool.address) + int_word(-(2**23)) + uint_word(600)
    page = (await trader.client.call(None, lens_code("V3PoolLens") + arguments))[32:]
    assert int_at(page, 8) <= int_at(page, 9), "one page held everything: this test shows nothing"
    replica = await trader.replica(pool)
    assert isinstance(replica, V3Pool)
    assert {t for t, _, _ in replica.ticks} == {t for edge in edges for t in edge}
    assert await _compare(trader, pool, replica, chance, 100) > 80
