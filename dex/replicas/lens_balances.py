"""Snapshots of Balancer's and Curve's pools: balances, fees and terms of many in one call each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain import ChainClient
from chain.abi import address_array, address_at, compose, uint_at
from dex.pools import BALANCER_VAULT, PoolSpec
from dex.replicas.lens_code import lens_code
from dex.replicas.lens_ticks import ensure_tokens
from domain.errors import InputError
from domain.events import PoolSnapshotted

_PER_CALL: Final = 40


async def read_balance_pools(
    client: ChainClient, specs: Sequence[PoolSpec], block_hash: str, block_number: int, time_ns: int
) -> list[PoolSnapshotted]:
    """Read stable and weighted pools at one block.

    Raises:
        NodeRefused: The node does not know the block, or an address is no such pool.
        InputError: A pool is not what its configuration says.
    """
    found = []
    for name, read in (("BalancerPoolLens", _balancer), ("CurvePoolLens", _curve)):
        ours = [spec for spec in specs if (spec.kind == "curve-stable") == (read is _curve)]
        for start in range(0, len(ours), _PER_CALL):
            part = ours[start : start + _PER_CALL]
            code = lens_code(name) + compose(address_array([spec.address for spec in part]))
            body = (await client.call(None, code, block_hash))[64:]  # Past the array's offset and its count.
            for index, spec in enumerate(part):
                found.append(read(spec, body[uint_at(body, index) :], block_number, time_ns))
    return found


def _balancer(spec: PoolSpec, state: bytes, block_number: int, time_ns: int) -> PoolSnapshotted:
    vault, pool_id, weights = address_at(state, 0), "0x" + state[32:64].hex(), _numbers(state, 11)
    if vault != BALANCER_VAULT or pool_id != spec.pool_id:
        raise InputError(f"pool {spec.id} is {pool_id} of {vault}, configured is {spec.pool_id} of {BALANCER_VAULT}")
    kind = "balancer-weighted" if weights else "balancer-stable"
    if kind != spec.kind:
        raise InputError(f"pool {spec.id} is of kind {kind}, configured is {spec.kind}")
    ensure_tokens(spec, _addresses(state, 8))
    paused, moves, rated, recoverable = (bool(uint_at(state, word)) for word in (4, 5, 6, 7))
    return PoolSnapshotted(
        time_ns=time_ns,
        pool=spec.id,
        block_number=block_number,
        kind=kind,
        token0=spec.token0.id,
        token1=spec.token1.id,
        fee_pips=spec.fee_pips,
        tokens=tuple(asset.id for asset, _ in spec.tokens),
        balances=tuple(str(balance) for balance in _numbers(state, 9)),
        scales=_scales(_numbers(state, 10)),
        weights=tuple(str(weight) for weight in weights),
        amplification=str(uint_at(state, 3)),
        fee_raw=str(uint_at(state, 2)),
        has_exact_powers=recoverable and bool(weights),
        suspended=_suspended(paused=paused, moves=moves, rated=rated),
    )


def _curve(spec: PoolSpec, state: bytes, block_number: int, time_ns: int) -> PoolSnapshotted:
    ensure_tokens(spec, _addresses(state, 6))
    moves, rated = bool(uint_at(state, 4)), bool(uint_at(state, 5))
    return PoolSnapshotted(
        time_ns=time_ns,
        pool=spec.id,
        block_number=block_number,
        kind=spec.kind,
        token0=spec.token0.id,
        token1=spec.token1.id,
        fee_pips=spec.fee_pips,
        tokens=tuple(asset.id for asset, _ in spec.tokens),
        balances=tuple(str(balance) for balance in _numbers(state, 7)),
        scales=_scales(_numbers(state, 8)),
        amplification=str(uint_at(state, 0)),
        fee_raw=str(uint_at(state, 1)),
        fee_offpeg_raw=str(uint_at(state, 2)),
        fee_admin_raw=str(uint_at(state, 3)),
        suspended=_suspended(paused=False, moves=moves, rated=rated),
    )


def _suspended(*, paused: bool, moves: bool, rated: bool) -> str:
    if paused:
        return "it is paused"
    if moves:
        return "its amplification is moving"
    return "its tokens are valued by a rate that no log tells" if rated else ""


def _scales(decimals: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(10 ** (36 - places)) if places <= 36 else "0" for places in decimals)


def _numbers(state: bytes, word: int) -> list[int]:
    at = uint_at(state, word) // 32
    return [uint_at(state, at + 1 + i) for i in range(uint_at(state, at))]


def _addresses(state: bytes, word: int) -> tuple[str, ...]:
    at = uint_at(state, word) // 32
    return tuple(address_at(state, at + 1 + i) for i in range(uint_at(state, at)))
