"""Reads a market from a chain: every pool's state at one block, in replicas that routes are quoted on."""

from __future__ import annotations

from typing import Final

import msgspec

from chain import Block, ChainClient
from dex.discovery import Discovery
from dex.pools import PoolSpec
from dex.replicas.lens import read_pools
from dex.routing.gas import GasTerms
from dex.routing.market import Market
from domain.errors import VenueUnavailable
from domain.events import PoolSnapshotted

_READINGS_MAX: Final = 6


async def load_market(client: ChainClient, discovery: Discovery) -> Market:
    """Read all pools of a discovery at the newest block.

    Believed when two readings in a row agree: a node may answer for its newest block from the state it is just mining
    the next one on, and a provider's balancer may ask two nodes. Pools without liquidity are left out.

    Raises:
        VenueUnavailable: No node answers, or it gives another answer each time.
        NodeRefused: A pool is not what its factory says.
    """
    head = await client.head()
    previous: list[PoolSnapshotted] | None = None
    for _ in range(_READINGS_MAX):
        found = await _read(client, discovery, head)
        if found == previous:
            pools = []
            for spec, snapshot in zip(_readable(discovery), found, strict=True):
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


async def gas_terms(client: ChainClient) -> GasTerms:
    """Ask what gas costs in the next blocks: the base fee and the usual tip."""
    fees = await client.fees()
    return GasTerms(unit_wei=fees.base_fee + fees.priority)


async def _read(client: ChainClient, discovery: Discovery, head: Block) -> list[PoolSnapshotted]:
    pools = _readable(discovery)
    found = await read_pools(client, pools, block_hash=head.hash, block_number=head.number, time_ns=0)
    return [msgspec.structs.replace(snapshot, time_ns=0) for snapshot in found]


def _readable(discovery: Discovery) -> list[PoolSpec]:
    """List the pools whose prices follow from their state."""
    return [spec for spec in discovery.pools if not spec.is_by_call]
