"""Reads a market from a chain: every pool's state at one block, in replicas that routes are quoted on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from chain import Block, ChainClient
from chain.fees import read_l1_facts
from chain.networks import L1Fee
from dex.discovery import Discovery
from dex.pools import PoolSpec
from dex.replicas.lens import read_pools
from dex.routing.gas import GasTerms
from dex.routing.market import Market
from domain.errors import VenueUnavailable
from domain.events import PoolSnapshotted

_READINGS_MAX: Final = 6


ROUTER_KINDS: Final = frozenset({"v2", "v3", "v4"})
"""Pools that the routers reach, in one transaction."""


async def load_market(
    client: ChainClient, discovery: Discovery, *, kinds: frozenset[str] | None = ROUTER_KINDS
) -> Market:
    """Read a discovery's pools at the newest block: those of some kinds, all of them for None.

    Believed when two readings in a row agree: a node may answer for its newest block from the state it is just mining
    the next one on, and a provider's balancer may ask two nodes. Pools without liquidity are left out.

    Raises:
        VenueUnavailable: No node answers, or it gives another answer each time.
        NodeRefused: A pool is not what its factory says.
    """
    specs = [spec for spec in discovery.pools if not spec.is_by_call and (kinds is None or spec.kind in kinds)]
    head = await client.head()
    previous: list[PoolSnapshotted] | None = None
    for _ in range(_READINGS_MAX):
        found = await _read(client, specs, head)
        if found == previous:
            pools = []
            for spec, snapshot in zip(specs, found, strict=True):
                replica = spec.replica()
                replica.apply(snapshot)
                pools.append((spec, replica))
            return Market(
                pools,
                chain_id=client.chain_id,
                block_number=head.number,
                block_hash=head.hash,
                native=discovery.deployment.native,
                wrapped=discovery.wrapped,
            )
        previous = found
    raise VenueUnavailable(f"the node gives a new answer for block {head.number} each time")


async def gas_terms(client: ChainClient, l1_fee: L1Fee = "none") -> GasTerms:
    """Ask what gas costs in the next blocks, base fee and usual tip, and on a rollup what a byte costs besides."""
    fees, l1 = await asyncio.gather(client.fees(), read_l1_facts(client, l1_fee))
    return GasTerms(unit_wei=fees.base_fee + fees.priority, byte_wei=l1.byte_wei)


async def _read(client: ChainClient, specs: Sequence[PoolSpec], head: Block) -> list[PoolSnapshotted]:
    found = await read_pools(client, specs, block_hash=head.hash, block_number=head.number, time_ns=0)
    return [msgspec.structs.replace(snapshot, time_ns=0) for snapshot in found]
