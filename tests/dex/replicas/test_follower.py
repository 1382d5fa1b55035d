"""Replicas fed by the follower's events equal the chain after any history, reorganisations included."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

import msgspec
import pytest

from chain import Block, ChainClient
from chain.devnet import Devnet, DevnetConfig
from chain.wakeups import HeadWakeups
from dex import PoolFollower, devnet_pools
from domain import InputError, Refused
from domain.events import Event, PoolInvalidated, PoolSnapshotted, PoolSwapped
from domain.ids import PoolId
from tests.dex.audience import Audience
from tests.dex.replicas.test_balances import compare as compare_balances
from tests.dex.replicas.test_exactness import _compare
from tests.dex.trader import Trader
from tests.dex.traffic import Traffic, replicated

pytestmark = pytest.mark.anvil


@pytest.mark.parametrize("seed", range(2))
async def test_replicas_equal_the_chain_after_random_trading_and_reorganisations(
    devnet: Devnet, chain_client: ChainClient, seed: int
) -> None:
    chance = random.Random(seed)
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    traffic = Traffic(trader, chance)
    await traffic.prepare()
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005, audit_every_blocks=20)
    await follower.start(audience)
    reorganisations = 0
    try:
        for step in range(120):
            await traffic.act()
            if step % 8 == 7:  # Quotes in between fill the prefix sums that the next mint or burn must cut.
                await audience.until_block((await chain_client.head()).hash)
                pool = chance.choice(traffic.pools)
                await _compare(trader, pool, audience.replicas[trader.spec(pool).id], chance, 15)
            if step % 30 == 29:
                assert await audience.differences(chain_client) == []
                if chance.random() < 0.3:
                    await chain_client.rpc.request("anvil_rollback", chance.randint(1, 4))
                else:
                    await chain_client.rpc.request("anvil_reorg", chance.randint(1, 6), [])
                reorganisations += 1
                traffic.forget()
                assert await audience.differences(chain_client) == []
        for pool in traffic.pools:
            await _compare(trader, pool, audience.replicas[trader.spec(pool).id], chance, 8)
        for spec in traffic.balanced:
            await compare_balances(traffic.hand, spec, audience.replicas[spec.id], chance, 8, 3)
    finally:
        await follower.stop()
    assert follower.audits > reorganisations == 4
    assert follower.audits_failed == 0
    assert follower.logs_undone >= reorganisations
    # Taken back log by log: nobody was told to stop, nothing was read again after the first snapshots.
    assert not audience.of(PoolInvalidated)
    assert len(audience.of(PoolSnapshotted)) == len(audience.replicas)


async def test_what_the_undo_ring_does_not_hold_is_read_anew(devnet: Devnet, chain_client: ChainClient) -> None:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    pool = devnet.world.pool("v3", "WETH", "USDC", 500)
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005, undo_blocks=3)
    await follower.start(audience)
    try:
        for _ in range(6):
            await trader.swap(pool, pool.token0, 10**9)
        await audience.until_block((await chain_client.head()).hash)
        await chain_client.rpc.request("anvil_reorg", 5, [])
        assert await audience.differences(chain_client) == []
        assert len(audience.of(PoolInvalidated)) >= len(audience.replicas)
    finally:
        await follower.stop()


async def test_a_snapshot_of_a_block_that_left_the_chain_is_replaced(devnet: Devnet, chain_client: ChainClient) -> None:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    pool = devnet.world.pool("v2", "WETH", "USDC")
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005)
    await follower.start(audience)
    try:
        await chain_client.rpc.request("evm_mine")
        await audience.until_block((await chain_client.head()).hash)
        # A pair's reserves are slot 8: one unit more behind the events' back.
        held = int(await chain_client.rpc.request("eth_getStorageAt", pool.address, hex(8), "latest"), 16)
        await chain_client.rpc.request("anvil_setStorageAt", pool.address, hex(8), f"0x{held + 1:064x}")
        other = devnet.world.pool("v3", "WBTC", "USDC", 500)  # Its swap makes the block another than the empty one.
        await trader.swap(other, other.token0, 10**6)
        await audience.until_block((await chain_client.head()).hash)
        assert not await follower.audit()  # Healed by a snapshot of the newest block, which now leaves the chain.
        seen = len(audience.events)
        await chain_client.rpc.request("anvil_reorg", 1, [])
        assert await audience.differences(chain_client) == []
        await trader.swap(other, other.token0, 10**6)
        assert await audience.differences(chain_client) == []
    finally:
        await follower.stop()
    told = [event for event in audience.events[seen:] if isinstance(event, PoolInvalidated)]
    assert [(event.pool, event.reason) for event in told] == [
        (trader.spec(pool).id, "the block of its snapshot left the chain")
    ]


async def test_audits_go_round_so_that_each_pool_is_compared_in_time(devnet: Devnet, chain_client: ChainClient) -> None:
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005, audit_every_blocks=10)
    await follower.start(audience)
    try:
        # One pool's liquidity (slot 4) changes behind the events' back; a turn later at the latest it is found.
        pool = devnet.world.pool("v3", "WBTC", "USDC", 3000)
        await chain_client.rpc.request("anvil_setStorageAt", pool.address, hex(4), f"0x{12345:064x}")
        for _ in range(11):
            await chain_client.rpc.request("evm_mine")
            await audience.until_block((await chain_client.head()).hash)
        await chain_client.rpc.request("evm_mine")
        await audience.until_block((await chain_client.head()).hash)
    finally:
        await follower.stop()
    assert follower.audits_failed == 1
    assert [event.pool for event in audience.of(PoolInvalidated) if isinstance(event, PoolInvalidated)] == [
        Trader(devnet, chain_client).spec(pool).id
    ]


async def test_replicas_refuse_when_no_block_came_for_too_long_and_heal_with_the_next(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    now = [0]
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: now[0], poll_s=0.005, age_max_s=60)
    await follower.start(audience)
    try:
        now[0] = 60 * 10**9
        follower.check_age()
        assert all(replica.is_valid for replica in audience.replicas.values())
        now[0] += 1
        follower.check_age()
        for replica in audience.replicas.values():
            with pytest.raises(Refused, match="no block came for 60 s"):
                replica.quote_exact_in_down(replica.token0, 1000, replica.token1)
        await chain_client.rpc.request("evm_mine")
        assert await audience.differences(chain_client) == []
    finally:
        await follower.stop()


async def test_an_audit_finds_a_change_no_log_told_and_heals_the_replica(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005)
    await follower.start(audience)
    try:
        assert await follower.audit()
        pool = devnet.world.pool("v3", "WETH", "USDC", 500)
        # Liquidity is slot 4 of a V3 pool: changed behind the events' back.
        await chain_client.rpc.request("anvil_setStorageAt", pool.address, hex(4), f"0x{12345:064x}")
        await chain_client.rpc.request("evm_mine")
        await audience.until_block((await chain_client.head()).hash)
        seen = len(audience.events)
        assert not await follower.audit()
    finally:
        await follower.stop()
    told = [type(event) for event in audience.events[seen:]]
    assert told == [PoolInvalidated, PoolSnapshotted]
    assert follower.audits_failed == 1


async def test_a_difference_that_is_gone_at_the_second_look_was_the_nodes(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    audience = Audience(replicated(devnet))
    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=3600)
    await follower.start(audience)
    read, looks = follower._read, []

    async def busy(head: Block, pools: Collection[PoolId]) -> list[PoolSnapshotted]:
        looks.append(len(pools))
        first, *others = await read(head, pools)
        return [msgspec.structs.replace(first, reserve0="7") if len(looks) == 1 else first, *others]

    follower._read = busy  # type: ignore[method-assign]
    try:
        assert await follower.audit()
    finally:
        await follower.stop()
    assert looks == [len(audience.replicas), 1]
    assert follower.audits_failed == 0
    assert not audience.of(PoolInvalidated)


async def test_a_lost_node_makes_every_replica_refuse() -> None:
    devnet = await Devnet.start(DevnetConfig())
    try:
        async with devnet.client() as client:
            audience = Audience(replicated(devnet))
            follower = PoolFollower(client, replicated(devnet), lambda: 7, poll_s=0.005)
            await follower.start(audience)
            replica = next(iter(audience.replicas.values()))
            assert replica.quote_exact_in_down(replica.token0, 1000, replica.token1) > 0
            await devnet.stop()
            async with asyncio.timeout(60):
                while replica.is_valid:
                    audience._news.clear()
                    await audience._news.wait()
            with pytest.raises(Refused) as refused:
                replica.quote_exact_in_down(replica.token0, 1000, replica.token1)
            assert refused.value.rule == "stale_replica"
            await follower.stop()
    finally:
        await devnet.stop()


async def test_a_pool_that_is_not_what_its_configuration_says_is_named(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    right = next(s for s in devnet_pools(devnet.world).values() if s.kind == "v3")
    other = next(s for s in devnet_pools(devnet.world).values() if s.kind == "v3" and s.fee_pips != right.fee_pips)
    object.__setattr__(other, "fee_pips", right.fee_pips)
    with pytest.raises(InputError, match="configured are"):
        await PoolFollower(chain_client, [other], lambda: 0).start(lambda event: None)


async def test_an_announced_block_is_looked_at_before_the_next_poll(devnet: Devnet, chain_client: ChainClient) -> None:
    audience = Audience(replicated(devnet))
    follower = PoolFollower(
        chain_client,
        replicated(devnet),
        lambda: 7,
        poll_s=3600,
        ws_url=devnet.world.rpc_url.replace("http", "ws"),
    )
    await follower.start(audience)
    try:
        await chain_client.rpc.request("evm_mine")
        await audience.until_block((await chain_client.head()).hash)
        await chain_client.rpc.request("evm_mine")
        await audience.until_block((await chain_client.head()).hash)
    finally:
        await follower.stop()
    with pytest.raises(InputError):
        HeadWakeups("http://localhost", lambda: None)


async def test_a_crash_of_the_follower_is_told_and_leaves_no_valid_replica(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    audience = Audience(replicated(devnet))

    def fragile(event: Event) -> None:
        audience(event)
        if isinstance(event, PoolSwapped):
            raise RuntimeError("the listener broke")

    follower = PoolFollower(chain_client, replicated(devnet), lambda: 7, poll_s=0.005)
    await follower.start(fragile)
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    pool = devnet.world.pool("v3", "WETH", "USDC", 500)
    await trader.swap(pool, pool.token0, 10**9)
    with pytest.raises(ExceptionGroup) as crash:
        await follower.wait()
    assert "the listener broke" in str(crash.value.exceptions[0])
    assert not any(replica.is_valid for replica in audience.replicas.values())
    await follower.stop()
