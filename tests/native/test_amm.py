"""Native pools equal the Python replicas, which equal the contracts, and move as the contracts do."""

from __future__ import annotations

import random

import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import ChainClient
from chain.abi import selector, uint_at
from chain.devnet import Devnet, PoolEntry
from dex import PoolReplica, V3Pool
from dex.replicas.tick_math import sqrt_price_at
from dex.replicas.v2 import V2Pool
from domain import Refused
from domain.events import PoolSnapshotted
from tests.dex.trader import Trader

ZERO, ONE = "eip155:1/erc20:0x0", "eip155:1/erc20:0x1"
DEPTH = -1


def ours(pool: native.AmmPool, replica: PoolReplica, zero_for_one: bool, amount: int) -> None:
    """Compare both quotes of one amount."""
    token_in, token_out = (replica.token0, replica.token1) if zero_for_one else (replica.token1, replica.token0)
    assert native_in(pool, zero_for_one, amount) == reference(replica.quote_exact_in_down, token_in, amount)
    assert native_out(pool, zero_for_one, amount) == reference(replica.quote_exact_out_up, token_out, amount)


def native_in(pool: native.AmmPool, zero_for_one: bool, amount: int) -> int:
    try:
        return pool.quote_exact_in_down(zero_for_one, amount)
    except native.PoolDepthError:
        return DEPTH


def native_out(pool: native.AmmPool, zero_for_one: bool, amount: int) -> int:
    try:
        return pool.quote_exact_out_up(zero_for_one, amount)
    except native.PoolDepthError:
        return DEPTH


def reference(quote: object, token: str, amount: int) -> int:
    assert callable(quote)
    try:
        return int(quote(token, amount))
    except Refused as exc:
        if exc.rule != "pool_depth":
            raise
        return DEPTH


def snapshot(kind: str, fee: int, **state: object) -> PoolSnapshotted:
    return PoolSnapshotted(
        time_ns=0, pool="pool", block_number=1, kind=kind, token0=ZERO, token1=ONE, fee_pips=fee, **state
    )  # type: ignore[arg-type]


amounts = st.one_of(st.integers(1, 10**6), st.integers(1, 10**33), st.integers(1, 2**128))


@given(st.integers(1, 2**112 - 1), st.integers(1, 2**112 - 1), st.integers(0, 999_999), st.booleans(), amounts)
def test_a_pair_quotes_as_the_replica(reserve0: int, reserve1: int, fee: int, zero_for_one: bool, amount: int) -> None:
    replica = V2Pool("pool", ZERO, ONE, fee)
    replica.apply(snapshot("v2", fee, reserve0=str(reserve0), reserve1=str(reserve1)))
    ours(native.AmmPool.from_reserves(reserve0, reserve1, fee), replica, zero_for_one, amount)


@st.composite
def v3_pools(draw: st.DrawFn) -> tuple[native.AmmPool, V3Pool]:
    """The same ranges in both; price anywhere, ranges that touch, overlap, cancel in net, and gaps."""
    fee, spacing = draw(st.sampled_from([(100, 1), (500, 10), (3000, 60), (10_000, 200)]))
    tick = draw(st.one_of(st.integers(-3_000, 3_000), st.integers(-600_000, 600_000)))
    nets: dict[int, list[int]] = {}
    near = st.integers(-300, 300)
    for _ in range(draw(st.integers(1, 8))):
        lower = (tick // spacing + draw(near)) * spacing
        upper = lower + spacing * draw(st.integers(1, 400))
        if lower < -887_200 or upper > 887_200:
            continue
        liquidity = draw(st.integers(1, 10 ** draw(st.sampled_from([6, 18, 24]))))
        for end, sign in ((lower, 1), (upper, -1)):
            entry = nets.setdefault(end, [0, 0])
            entry[0] += sign * liquidity
            entry[1] += liquidity
    price = sqrt_price_at(tick) + draw(st.integers(0, sqrt_price_at(tick + 1) - sqrt_price_at(tick) - 1))
    liquidity = sum(net for end, (net, _) in nets.items() if end <= tick)
    ticks = [(end, net, gross) for end, (net, gross) in sorted(nets.items())]
    replica = V3Pool("pool", ZERO, ONE, fee)
    replica.apply(
        snapshot(
            "v3",
            fee,
            sqrt_price_x96=str(price),
            tick=tick,
            liquidity=str(liquidity),
            tick_spacing=spacing,
            ticks=tuple((end, str(net)) for end, net, _ in ticks),
            ticks_gross=tuple(str(gross) for _, _, gross in ticks),
        )
    )
    assert replica.is_valid, replica.invalid_reason
    return native.AmmPool.from_ticks(price, tick, liquidity, fee, spacing, ticks), replica


@settings(max_examples=300, deadline=None)
@given(v3_pools(), st.booleans(), st.lists(amounts, min_size=1, max_size=5))
def test_a_v3_pool_quotes_as_the_replica(
    pools: tuple[native.AmmPool, V3Pool], zero_for_one: bool, sizes: list[int]
) -> None:
    pool, replica = pools
    for size in sizes:
        ours(pool, replica, zero_for_one, size)


@settings(max_examples=100, deadline=None)
@given(v3_pools(), st.lists(st.tuples(st.booleans(), amounts), min_size=2, max_size=8))
def test_no_round_of_swaps_creates_value(pools: tuple[native.AmmPool, V3Pool], swaps: list[tuple[bool, int]]) -> None:
    """What the pool gives in all is never worth more than it took: both balances of a trader who undoes all fall."""
    pool, _ = pools
    held, taken = [0, 0], [0, 0]
    for zero_for_one, amount in swaps:
        try:
            quoted = pool.quote_exact_in_down(zero_for_one, amount)
            out = pool.swap_exact_in(zero_for_one, amount)
        except native.PoolDepthError:
            continue
        assert out == quoted
        side = 0 if zero_for_one else 1
        held[side] -= amount
        held[1 - side] += out
        taken[side] += amount
    for side in (0, 1):  # Spend every gain on undoing: nothing may be gained on both sides at once.
        if held[side] > 0:
            try:
                held[1 - side] += pool.swap_exact_in(side == 0, held[side])
            except native.PoolDepthError:
                continue
            held[side] = 0
    assert not (held[0] > 0 and held[1] >= 0)
    assert not (held[1] > 0 and held[0] >= 0)


def test_what_no_pool_can_be_is_refused() -> None:
    with pytest.raises(ValueError, match="reserves"):
        native.AmmPool.from_reserves(0, 1, 3000)
    with pytest.raises(ValueError, match="add up"):
        native.AmmPool.from_ticks(2**96, 0, 5, 3000, 60, [])
    with pytest.raises(ValueError, match="twice"):
        native.AmmPool.from_ticks(2**96, 0, 0, 3000, 60, [(60, 1, 1), (60, 1, 1)])
    pool = native.AmmPool.from_reserves(1000, 1000, 3000)
    with pytest.raises(ValueError, match="positive"):
        pool.quote_exact_in_down(True, 0)
    for outside in (-1, 2**256):
        with pytest.raises(OverflowError):
            pool.quote_exact_in_down(True, outside)
    with pytest.raises(ValueError, match="no ticks"):
        pool.move_to(2**96, 0, 0)


@pytest.mark.anvil
async def test_swaps_leave_a_pool_in_the_state_the_chain_says(devnet: Devnet, chain_client: ChainClient) -> None:
    trader, chance = Trader(devnet, chain_client), random.Random(5)
    await trader.prepare()
    for pool in (devnet.world.pool("v3", "WETH", "USDC", 500), devnet.world.pool("v2", "WETH", "USDC", 3000)):
        mine = await native_pool(trader, pool)
        for _ in range(25):
            zero_for_one = chance.random() < 0.5
            token = pool.token0 if zero_for_one else pool.token1
            decimals = next(t.decimals for t in devnet.world.tokens.values() if t.address == token)
            amount = int(10 ** chance.uniform(decimals - 3, decimals + 1.5 + 3 * (decimals == 6)))
            await trader.swap(pool, token, amount)
            mine.swap_exact_in(zero_for_one, amount)
            assert mine.state == await chain_state(trader, pool)


async def native_pool(trader: Trader, pool: PoolEntry) -> native.AmmPool:
    replica = await trader.replica(pool)
    if isinstance(replica, V2Pool):
        return native.AmmPool.from_reserves(replica.reserve0, replica.reserve1, replica.fee_pips)
    assert isinstance(replica, V3Pool)
    slot = (replica.sqrt_price_x96, replica.tick, replica.liquidity)
    return native.AmmPool.from_ticks(*slot, replica.fee_pips, replica.tick_spacing, list(replica.ticks))


async def chain_state(trader: Trader, pool: PoolEntry) -> tuple[int, ...]:
    replica = await trader.replica(pool)
    if isinstance(replica, V2Pool):
        raw = await trader.client.call(pool.address, selector("getReserves()"))
        return uint_at(raw, 0), uint_at(raw, 1)
    assert isinstance(replica, V3Pool)
    return replica.sqrt_price_x96, replica.tick, replica.liquidity
