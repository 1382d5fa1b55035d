"""Snapshots of pools and tokens, read by deployless lens contracts: one `eth_call` for many, all at one block.

The lenses are ours (`contracts/src/lens`): creation code that is called, never deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain import ChainClient
from chain.abi import address_array, address_at, address_word, compose, text_at, uint_at
from dex.pools import PoolSpec
from dex.replicas.lens_balances import read_balance_pools
from dex.replicas.lens_code import lens_code
from dex.replicas.lens_ticks import ensure_tokens, read_tick_pools
from domain.errors import InputError
from domain.events import PoolSnapshotted

_V2_PER_CALL: Final = 150
_UNISWAP: Final = ("v2", "v3", "v4")


@dataclass(frozen=True, slots=True)
class TokenState:
    """What a token says of itself and of one owner. `is_readable` False: it is no ERC-20 token."""

    is_readable: bool
    decimals: int
    balance: int
    symbol: str


async def read_pools(
    client: ChainClient, specs: Sequence[PoolSpec], *, block_hash: str, block_number: int, time_ns: int
) -> list[PoolSnapshotted]:
    """Read the whole state of pools at one block, in the order asked.

    Raises:
        NodeRefused: The node does not (or no longer) know the block, or an address is no such pool.
        InputError: A pool is not what its configuration says, or is quoted by call alone.
        VenueUnavailable: No node answers.
    """
    for spec in specs:
        if spec.is_by_call:
            raise InputError(f"pool {spec.id} is quoted by call; a snapshot of it would not tell its prices")
    at = (block_hash, block_number, time_ns)
    snapshots = await _read_pairs(client, [spec for spec in specs if spec.kind == "v2"], *at)
    snapshots += await read_tick_pools(client, [spec for spec in specs if spec.kind in ("v3", "v4")], *at)
    snapshots += await read_balance_pools(client, [spec for spec in specs if spec.kind not in _UNISWAP], *at)
    found = {snapshot.pool: snapshot for snapshot in snapshots}
    return [found[spec.id] for spec in specs]


async def read_tokens(client: ChainClient, tokens: Sequence[str], owner: str) -> list[TokenState]:
    """Read symbol, decimals and an owner's balance of many tokens in one call."""
    code = lens_code("TokenLens") + compose(address_array(tokens), address_word(owner))
    answer = await client.call(None, code)
    body = answer[64:]  # Past the array's offset and its count.
    states = []
    for index in range(uint_at(answer, 1)):
        entry = body[uint_at(body, index) :]
        states.append(TokenState(bool(uint_at(entry, 0)), uint_at(entry, 1), uint_at(entry, 2), text_at(entry, 3)))
    return states


async def _read_pairs(
    client: ChainClient, specs: Sequence[PoolSpec], block_hash: str, block_number: int, time_ns: int
) -> list[PoolSnapshotted]:
    found = []
    for start in range(0, len(specs), _V2_PER_CALL):
        part = specs[start : start + _V2_PER_CALL]
        code = lens_code("V2PoolLens") + compose(address_array([spec.address for spec in part]))
        answer = await client.call(None, code, block_hash)
        for index, spec in enumerate(part):
            # Word 0 points at the struct; words 1..3 are block, offset and count; then four words per pair.
            token0, token1, reserve0, reserve1 = (4 + 4 * index + i for i in range(4))
            ensure_tokens(spec, (address_at(answer, token0), address_at(answer, token1)))
            found.append(
                PoolSnapshotted(
                    time_ns=time_ns,
                    pool=spec.id,
                    block_number=block_number,
                    kind="v2",
                    token0=spec.token0.id,
                    token1=spec.token1.id,
                    fee_pips=spec.fee_pips,
                    reserve0=str(uint_at(answer, reserve0)),
                    reserve1=str(uint_at(answer, reserve1)),
                )
            )
    return found
