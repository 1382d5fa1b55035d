"""Replicas fed by the follower's events equal the chain after any history, reorganisations included."""

from __future__ import annotations

import asyncio
import random

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from chain.wakeups import HeadWakeups
from dex import PoolFollower, PoolReplica, devnet_pools, read_pools
from domain import InputError, Refused
from domain.events import BlockSeen, Event, PoolInvalidated, PoolSnapshotted, PoolSwapped
from tests.dex.replicas.test_exactness import _compare
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil


class Audience:
    """Applies events as the engine does, to replicas of its own, and lets a test wait for a block."""

    def __init__(self, devnet: Devnet) -> None:
        self.replicas: dict[str, PoolReplica] = {s.id: s.replica() for s in devnet_pools(devnet.world).values()}
        self.events: list[Event] = []
        self.head = ""
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, BlockSeen):
            self.head = event.block_hash
        elif hasattr(event, "pool"):
            self.replicas[event.pool].apply(event)  # type: ignore[arg-type]
        self._news.set()

    async def until_block(self, block_hash: str) -> None:
        async with asyncio.timeout(10):
            while self.head != block_hash:
                self._news.clear()
                await self._news.wait()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


async def _assert_equal_to_chain(devnet: Devnet, client: ChainClient, audience: Audience) -> None:
    head = await client.head()
    await audience.until_block(head.hash)
    specs = list(devnet_pools(devnet.world).values())
    snapshots = await read_pools(client, specs, block_hash=head.hash, block_number=head.number, time_ns=0)
    for snapshot in snapshots:
        replica = audience.replicas[snapshot.pool]
        assert replica.is_valid
        assert replica.difference(snapshot) == ""


async def _act(trader: Trader, chance: random.Random, positions: list[int]) -> None:
    pool = chance.choice(trader.devnet.world.classic_pools)
    what = chance.random()
    if pool.kind == "v2" or what < 0.5:
        token = chance.choice([pool.token0, pool.token1])
        symbol, decimals = next((s, t.decimals) for s, t in trader.devnet.world.tokens.items() if t.address == token)
        largest = {"WETH": 1.7, "USDC": 5.0, "WBTC": 0.5}[symbol]  # Powers of ten that no pool is emptied by.
        await trader.swap(pool, token, int(10 ** chance.uniform(decimals - 2, decimals + largest)))
    elif what < 0.8 or not positions:
        spacing = {500: 10, 3000: 60, 10000: 200}[pool.fee]
        lower = (await trader.tick(pool) // spacing + chance.randint(-40, 30)) * spacing
        amounts = (chance.randint(10**9, 10**11), chance.randint(10**9, 10**11))
        positions.append(await trader.mint(pool, lower, lower + chance.randint(1, 60) * spacing, *amounts))
    else:
        await trader.burn(chance.choice(positions), chance.choice([30, 100]))


@pytest.mark.parametrize("seed", range(2))
async def test_replicas_equal_the_chain_after_random_trading_and_reorganisations(
    devnet: Devnet, chain_client: ChainClient, seed: int
) -> None:
    chance = random.Random(seed)
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    audience = Audience(devnet)
    follower = PoolFollower(
        chain_client, list(devnet_pools(devnet.world).values()), lambda: 7, poll_s=0.005, audit_every_blocks=20
    )
    await follower.start(audience)
    try:
        positions: list[int] = []
        for step in range(200):
            await _act(trader, chance, positions)
            if step % 8 == 7:  # Quotes in between fill the prefix sums that the next mint or burn must cut.
                await audience.until_block((await chain_client.head()).hash)
                pool = chance.choice(devnet.world.classic_pools)
                await _compare(trader, pool, audience.replicas[trader.specs[pool.address].id], chance, 15)
            if step % 40 == 39:
                await _assert_equal_to_chain(devnet, chain_client, audience)
                await chain_client.rpc.request("anvil_reorg", chance.randint(1, 5), [])
                positions.clear()  # Some of them are gone with the old branch.
                await _assert_equal_to_chain(devnet, chain_client, audience)
        for pool in devnet.world.classic_pools:
            spec = trader.specs[pool.address]
            await _compare(trader, pool, audience.replicas[spec.id], chance, 20)
    finally:
        await follower.stop()
    assert follower.audits >= 1
    assert follower.audits_failed == 0
    # At least once for each of the five reorganisations, which a snapshot may have met in the middle.
    assert len(audience.of(PoolInvalidated)) >= 5 * len(devnet.world.classic_pools)
    assert audience.of(PoolSwapped)


async def test_an_audit_finds_a_change_no_log_told_and_heals_the_replica(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    audience = Audience(devnet)
    follower = PoolFollower(chain_client, list(devnet_pools(devnet.world).values()), lambda: 7, poll_s=0.005)
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


async def test_a_lost_node_makes_every_replica_refuse() -> None:
    devnet = await Devnet.start(DevnetConfig())
    try:
        async with devnet.client() as client:
            audience = Audience(devnet)
            follower = PoolFollower(client, list(devnet_pools(devnet.world).values()), lambda: 7, poll_s=0.005)
            await follower.start(audience)
            replica = next(iter(audience.replicas.values()))
            assert replica.quote_exact_in_down(replica.token0, 1000) > 0
            await devnet.stop()
            async with asyncio.timeout(10):
                while replica.is_valid:
                    audience._news.clear()
                    await audience._news.wait()
            with pytest.raises(Refused) as refused:
                replica.quote_exact_in_down(replica.token0, 1000)
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
    audience = Audience(devnet)
    follower = PoolFollower(
        chain_client,
        list(devnet_pools(devnet.world).values()),
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
    audience = Audience(devnet)

    def fragile(event: Event) -> None:
        audience(event)
        if isinstance(event, PoolSwapped):
            raise RuntimeError("the listener broke")

    follower = PoolFollower(chain_client, list(devnet_pools(devnet.world).values()), lambda: 7, poll_s=0.005)
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
