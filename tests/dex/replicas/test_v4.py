"""V4 pools quote and change as the genuine PoolManager has it; those only the chain can price say so."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chain import ChainClient
from chain.devnet import DEPLOYER, Devnet, PoolEntry
from dex import PoolFollower, PoolSpec, V4Pool, devnet_pools, pool_spec, read_pools
from dex.replicas.by_call import CallQuote, quotes_by_call
from domain import InputError, Refused
from tests.dex.replicas.test_exactness import _compare
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil


@pytest.fixture
async def trader(devnet: Devnet, chain_client: ChainClient) -> Trader:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    return trader


def _pools(devnet: Devnet) -> list[PoolEntry]:
    specs = devnet_pools(devnet.world).values()
    by_call = {spec.pool_id for spec in specs if spec.is_by_call}
    return [pool for pool in devnet.world.pools if pool.kind == "v4" and pool.pool_id not in by_call]


def _hooked(devnet: Devnet) -> PoolSpec:
    return next(spec for spec in devnet_pools(devnet.world).values() if spec.is_by_call)


async def _crowd(trader: Trader, pool: PoolEntry, chance: random.Random, count: int) -> list[int]:
    """Add positions around the price, neighbours and overlaps."""
    replica = await trader.replica(pool)
    assert isinstance(replica, V4Pool)
    first = replica.tick // pool.tick_spacing
    positions = []
    for _ in range(count):
        lower = (first + chance.randint(-12, 11)) * pool.tick_spacing
        upper = lower + chance.randint(1, 8) * pool.tick_spacing
        positions.append(await trader.v4.mint(pool, lower, upper, replica.liquidity // chance.randint(2, 40)))
    return positions


async def test_pools_quote_like_the_quoter_over_many_ticks_and_after_executed_swaps(trader: Trader) -> None:
    chance = random.Random(4)
    for pool in _pools(trader.devnet):
        await _crowd(trader, pool, chance, 8)
        assert await _compare(trader, pool, await trader.replica(pool), chance, 60) > 40
        spec = trader.spec(pool)
        for _ in range(3):
            token = chance.choice([spec.token0, spec.token1])
            amount = int(10 ** chance.uniform(1, token.decimals + 1.2))
            foreseen = (await trader.replica(pool)).after_exact_in(token.id, amount)
            await trader.swap(pool, spec.address_of(token.id), amount)
            (snapshot,) = await _read(trader, spec)
            assert foreseen.difference(snapshot) == ""
        assert await _compare(trader, pool, await trader.replica(pool), chance, 30) > 20


async def _read(trader: Trader, spec: PoolSpec) -> list[object]:
    head = await trader.client.head()
    return list(await read_pools(trader.client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0))


async def test_the_protocols_fee_is_charged_by_direction(trader: Trader) -> None:
    chance = random.Random(5)
    pool = trader.devnet.world.pool("v4", "ETH", "USDC", 500)
    await _crowd(trader, pool, chance, 6)
    free = await trader.replica(pool)
    await trader.v4.set_protocol_fee(pool, 1000, 37)
    charged = await trader.replica(pool)
    assert isinstance(charged, V4Pool)
    assert charged.protocol_fees_pips == (1000, 37)
    assert await _compare(trader, pool, charged, chance, 120) > 90
    spec = trader.spec(pool)
    for token, pips in ((spec.token0, 1000 + 500 - 0), (spec.token1, 37 + 500 - 0)):
        assert charged.gamma_of(token.id) == pytest.approx(1 - pips / 1e6)
        assert charged.quote_exact_in_down(token.id, 10**token.decimals) < free.quote_exact_in_down(
            token.id, 10**token.decimals
        )
    after = charged.after_exact_in(spec.token0.id, 3 * 10**18)
    await trader.swap(pool, pool.token0, 3 * 10**18)
    (snapshot,) = await _read(trader, spec)
    assert after.difference(snapshot) == ""
    assert free.difference(snapshot).startswith("protocol fees")


async def test_a_changed_protocol_fee_is_followed(trader: Trader) -> None:
    pool = trader.devnet.world.pool("v4", "ETH", "USDC", 500)
    spec = trader.spec(pool)
    follower = PoolFollower(trader.client, [spec], lambda: 0, poll_s=0.005)
    told: list[object] = []
    await follower.start(told.append)
    try:
        await trader.v4.set_protocol_fee(pool, 100, 200)
        await trader.swap(pool, pool.token0, 10**18)
        head = await trader.client.head()
        while getattr(told[-1], "block_hash", "") != head.hash:
            follower.wake()
            await trader.client.head()
        replica = follower.replicas[spec.id]
        assert isinstance(replica, V4Pool)
        assert replica.protocol_fees_pips == (100, 200)
        assert await follower.audit()
    finally:
        await follower.stop()


async def test_a_pool_with_a_dynamic_fee_has_no_replica_and_is_quoted_by_call(trader: Trader) -> None:
    spec, client = _hooked(trader.devnet), trader.client
    with pytest.raises(InputError, match="has no replica"):
        spec.replica()
    with pytest.raises(InputError, match="quoted by call"):
        await _read(trader, spec)
    entry = next(pool for pool in trader.devnet.world.pools if pool.pool_id == spec.pool_id)
    questions = [
        CallQuote(spec, spec.token0.id, 10**18),
        CallQuote(spec, spec.token1.id, 10**9),
        CallQuote(spec, spec.token0.id, 10**18, is_exact_out=True),
        CallQuote(spec, spec.token1.id, 10**9, is_exact_out=True),
        CallQuote(spec, spec.token0.id, 10**36),
    ]
    *answers, refused = await quotes_by_call(client, trader.contracts["V4Quoter"], questions)
    assert answers[:2] == await trader.chain_quotes_in(entry, [(entry.token0, 10**18), (entry.token1, 10**9)])
    assert answers[2:] == await trader.chain_quotes_out(entry, [(entry.token0, 10**18), (entry.token1, 10**9)])
    assert isinstance(refused, Refused)
    assert refused.rule == "by_call"
    assert await quotes_by_call(client, trader.contracts["V4Quoter"], []) == []
    before = await client.token_balance(entry.token1, DEPLOYER)
    quoted = answers[0]
    assert isinstance(quoted, int)
    await trader.swap(entry, entry.token0, 10**18)
    assert await client.token_balance(entry.token1, DEPLOYER) - before == quoted


async def test_hooks_that_do_not_act_on_swaps_leave_the_replica_exact() -> None:
    plain = pool_spec(
        kind="v3",
        chain_id=1,
        address="0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
        token_a=("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "WETH", 18),
        token_b=("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", 6),
        fee_pips=500,
    )
    spec = replace(plain, kind="v4", tick_spacing=10)
    for flags, is_by_call in ((0, False), (1 << 13, False), (1 << 11 | 1 << 4, False), (1 << 7, True), (1 << 6, True),
                              (1 << 3, True), (1 << 2, True)):  # fmt: skip
        hooks = type(spec.hooks)(f"0xca95{flags:036x}")
        assert replace(spec, hooks=hooks).is_by_call is is_by_call, flags


def test_a_v4_pool_is_described_only_by_its_own_key() -> None:
    terms = {
        "kind": "v4",
        "chain_id": 1,
        "address": "0x000000000004444c5dc75cB358380D2e3dE08A90",
        "token_a": ("0x0000000000000000000000000000000000000000", "ETH", 18),
        "token_b": ("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", 6),
        "fee_pips": 500,
        "tick_spacing": 10,
        # Mainnet's ETH/USDC 0.05 % pool.
        "pool_id": "0x21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27",
    }
    spec = pool_spec(**terms)
    assert spec.token0.id == "eip155:1/slip44:60"
    assert str(spec.id).endswith(terms["pool_id"])
    for wrong in ({"fee_pips": 3000}, {"tick_spacing": 60}, {"pool_id": "0x21"}, {"tick_spacing": 0}, {"kind": "v3"}):
        with pytest.raises(InputError):
            pool_spec(**terms | wrong)
