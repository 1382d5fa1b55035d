"""Pool logs as domain events."""

from __future__ import annotations

from typing import Final

from chain import Log
from chain.abi import int_at, topic, uint_at
from dex.pools import PoolSpec
from domain.events import PoolEvent, PoolLiquidityChanged, PoolSwapped, PoolSynced

V2_SYNC: Final = topic("Sync(uint112,uint112)")
V3_SWAP: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
V3_MINT: Final = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
V3_BURN: Final = topic("Burn(address,int24,int24,uint128,uint256,uint256)")


def decode_log(spec: PoolSpec, log: Log, time_ns: int) -> PoolEvent | None:
    """Read one log of a pool; None when it does not change what the replica holds.

    Raises:
        InputError: The log is cut short.
    """
    kind, number = log.topics[0] if log.topics else "", log.block_number
    if spec.kind == "v2":
        if kind != V2_SYNC:
            return None
        reserve0, reserve1 = str(uint_at(log.data, 0)), str(uint_at(log.data, 1))
        return PoolSynced(time_ns=time_ns, pool=spec.id, block_number=number, reserve0=reserve0, reserve1=reserve1)
    if kind == V3_SWAP:
        return PoolSwapped(
            time_ns=time_ns,
            pool=spec.id,
            block_number=number,
            sqrt_price_x96=str(uint_at(log.data, 2)),
            tick=int_at(log.data, 4),
            liquidity=str(uint_at(log.data, 3)),
        )
    if kind in (V3_MINT, V3_BURN):
        # Mint's data begins with the sender, Burn's with the amount.
        delta = uint_at(log.data, 1) if kind == V3_MINT else -uint_at(log.data, 0)
        return PoolLiquidityChanged(
            time_ns=time_ns,
            pool=spec.id,
            block_number=number,
            tick_lower=_tick(log.topics[2]),
            tick_upper=_tick(log.topics[3]),
            liquidity_delta=str(delta),
        )
    return None


def _tick(indexed: str) -> int:
    return int.from_bytes(bytes.fromhex(indexed[2:]), "big", signed=True)
