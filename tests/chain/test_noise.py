"""Noise on the devnet: the same seed makes the same trades, all of them go through, and pools drift apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from chain import ChainClient
from chain.abi import selector, uint_at
from chain.devnet import NATIVE_COIN, Devnet, DevnetConfig
from chain.devnet.noise import NOISE_ACCOUNTS, NoiseFlow, NoiseTrader
from domain import InputError

pytestmark = pytest.mark.anvil


async def test_a_seed_decides_every_trade(devnet: Devnet) -> None:
    one, same, other = (NoiseFlow(devnet.world, seed) for seed in (7, 7, 8))
    trades = [one.next() for _ in range(300)]
    assert trades == [same.next() for _ in range(300)]
    assert trades != [other.next() for _ in range(300)]
    assert {trade.pool.kind for trade in trades} == {"v2", "v3", "v4", "balancer-stable", "balancer-weighted"}
    assert {trade.account for trade in trades} == set(NOISE_ACCOUNTS)
    assert {trade.pool for trade in trades} == set(devnet.world.pools)


async def test_a_long_flow_pushes_no_pool_away_for_ever(devnet: Devnet) -> None:
    usd = {"WETH": 3_000, "WBTC": 60_000, "USDC": 1, "DAI": 1, "USDT": 1}
    per_unit = {t.address: usd[symbol] / 10**t.decimals for symbol, t in devnet.world.tokens.items()}
    per_unit[NATIVE_COIN] = 3_000 / 10**18
    flow, net = NoiseFlow(devnet.world, 3), Counter[object]()
    furthest = 0.0
    for trade in (flow.next() for _ in range(20_000)):
        pair = (trade.pool, *sorted((trade.token_in, trade.token_out)))
        sign = 1 if trade.token_in < trade.token_out else -1
        net[pair] += sign * trade.amount_in * per_unit[trade.token_in]
        furthest = max(furthest, abs(net[pair]))
    # A walk without the pull is out by two million dollars somewhere after as many trades.
    assert furthest < 700_000


async def test_every_trade_goes_through_and_prices_drift_apart(devnet: Devnet, chain_client: ChainClient) -> None:
    noise = NoiseTrader(chain_client, devnet.world, seed=11)
    await noise.prepare()
    pools = [devnet.world.pool("v3", "WETH", "USDC", fee).address for fee in (500, 3000, 10000)]
    hashes = [(await noise.step())[1] for _ in range(120)]
    for tx_hash in hashes:
        receipt = await chain_client.wait_receipt(tx_hash, poll_s=0.002)
        assert receipt.succeeded
        assert receipt.logs
    assert noise.sent == 120
    prices = sorted([uint_at(await chain_client.call(pool, selector("slot0()")), 0) ** 2 for pool in pools])
    assert all(high * 10_000 // low > 10_001 for low, high in pairwise(prices))


async def test_noise_runs_until_told_and_needs_a_rate() -> None:
    async with await Devnet.start(DevnetConfig()) as devnet, devnet.client() as client:
        noise, stop = NoiseTrader(client, devnet.world, seed=1), asyncio.Event()
        await noise.prepare()
        with pytest.raises(InputError, match="rate"):
            await noise.run(0, stop)
        running = asyncio.create_task(noise.run(500, stop))
        async with asyncio.timeout(60):
            while noise.sent < 5:
                await client.head()
        stop.set()
        await running
