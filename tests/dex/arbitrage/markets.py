"""Markets of random pools that disagree, for what is found on them."""

from __future__ import annotations

import math
import random

import msgspec

from dex import PoolReplica, V2Pool, V3Pool
from dex.replicas.balancer import BalancerStablePool, BalancerWeightedPool
from domain.events import PoolSnapshotted
from tests.dex.books import ranges_to_ticks, v3_snapshot

ETH, USD, BTC = "eip155:1337/erc20:eth", "eip155:1337/erc20:usd", "eip155:1337/erc20:btc"
DAI = "eip155:1337/erc20:dai"
_DECIMALS = {ETH: 18, USD: 6, BTC: 8, DAI: 18}
_WORTH = {ETH: 3000.0, USD: 1.0, BTC: 60_000.0, DAI: 1.0}
PAIRS = ((ETH, USD), (BTC, USD), (BTC, ETH))
_SPACING = {500: 10, 3000: 60, 10000: 200}


def v2_pool(pool_id: str, token0: str, token1: str, reserve0: int, reserve1: int) -> V2Pool:
    pool = V2Pool(pool_id, token0, token1, 3000)
    pool.apply(
        PoolSnapshotted(
            time_ns=0, pool=pool_id, block_number=5, kind="v2", token0=token0, token1=token1, fee_pips=3000,
            reserve0=str(reserve0), reserve1=str(reserve1),
        )
    )  # fmt: skip
    return pool


def random_pool_of(chance: random.Random, pool_id: str, token0: str, token1: str, apart_bps: int = 300) -> PoolReplica:
    """A pool of two tokens, V2 or V3 with up to eight positions, whose price is off by up to so much."""
    off = 1 + chance.randint(-apart_bps, apart_bps) / 10_000
    price = _WORTH[token0] / _WORTH[token1] * 10.0 ** (_DECIMALS[token1] - _DECIMALS[token0]) * off
    worth = 10.0 ** chance.uniform(4, 8)
    reserve0 = int(worth / _WORTH[token0] * 10.0 ** _DECIMALS[token0])
    if chance.random() < 0.35:
        return v2_pool(pool_id, token0, token1, reserve0, max(1, int(reserve0 * price)))
    fee = chance.choice(list(_SPACING))
    spacing, tick = _SPACING[fee], round(math.log(price) / math.log(1.0001))
    deep = int(reserve0 * math.sqrt(price))
    edge = 887_200 // spacing * spacing
    ranges = [(-edge, edge, max(deep // 100, 10**6))]
    for _ in range(chance.randint(0, 8)):
        lower = (tick + chance.randint(-600, 500)) // spacing * spacing
        ranges.append((lower, lower + chance.randint(1, 30) * spacing, deep * chance.randint(1, 100)))
    pool = V3Pool(pool_id, token0, token1, fee)
    snapshot = v3_snapshot(ranges_to_ticks(ranges), tick, fee_pips=fee, spacing=spacing)
    pool.apply(msgspec.structs.replace(snapshot, pool=pool_id, token0=token0, token1=token1))
    return pool


def random_market(chance: random.Random, count: int) -> dict[str, PoolReplica]:
    """So many pools over three tokens."""
    market = {}
    for number in range(count):
        one, other = PAIRS[number % len(PAIRS)] if number < len(PAIRS) else chance.choice(PAIRS)
        if chance.random() < 0.5:
            one, other = other, one
        market[f"p{number}"] = random_pool_of(chance, f"p{number}", one, other)
    return market


def balancer_pool(chance: random.Random, pool_id: str, kind: str, token0: str, token1: str) -> PoolReplica:
    """A weighted pool, or a stable one of two tokens of equal worth, near the market's price."""
    off = 1 + chance.randint(-100, 100) / 10_000
    worth = 10.0 ** chance.uniform(5, 7)
    share = chance.choice([20, 50, 80]) if kind == "balancer-weighted" else 50
    balances = (
        int(worth * share / 50 / _WORTH[token0] * 10.0 ** _DECIMALS[token0]),
        int(worth * (100 - share) / 50 / _WORTH[token1] * 10.0 ** _DECIMALS[token1] * off),
    )
    pool = (BalancerWeightedPool if kind == "balancer-weighted" else BalancerStablePool)(
        pool_id, (token0, token1), 1000
    )
    pool.apply(
        PoolSnapshotted(
            time_ns=0, pool=pool_id, block_number=5, kind=kind, token0=token0, token1=token1, fee_pips=1000,
            tokens=(token0, token1), balances=tuple(map(str, balances)),
            scales=tuple(str(10 ** (36 - _DECIMALS[token])) for token in (token0, token1)),
            weights=(str(share * 10**16), str((100 - share) * 10**16)), amplification="200000", fee_raw=str(10**15),
        )
    )  # fmt: skip
    assert pool.is_valid, pool.invalid_reason
    return pool
