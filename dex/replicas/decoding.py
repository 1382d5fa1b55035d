"""Pool logs as domain events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from chain import Log
from chain.abi import int_at, topic, uint_at
from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from domain.events import PoolEvent, PoolInvalidated, PoolLiquidityChanged, PoolSwapped, PoolSynced

V2_SYNC: Final = topic("Sync(uint112,uint112)")
V3_SWAP: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
V3_MINT: Final = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
V3_BURN: Final = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
V4_SWAP: Final = topic("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)")
V4_LIQUIDITY: Final = topic("ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)")
V4_PROTOCOL_FEE: Final = topic("ProtocolFeeUpdated(bytes32,uint24)")

_Reader: TypeAlias = Callable[[PoolSpec, Log, int, PoolReplica], PoolEvent]


def decode_log(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent | None:
    """Read one log of a pool; None when it does not change what the replica holds.

    `replica` is the pool's, in the state before the log: some logs say what moved, not what is there now. What cannot
    be followed (a changed fee) is an invalidation: a snapshot must replace the replica.

    Raises:
        InputError: The log is cut short.
    """
    reader = _READERS[spec.kind].get(log.topics[0] if log.topics else "")
    return None if reader is None else reader(spec, log, time_ns, replica)


def topics_of(specs: Iterable[PoolSpec]) -> list[str]:
    """The first topics of all logs that say something of these pools."""
    return sorted({topic0 for spec in specs for topic0 in _READERS[spec.kind]})


class LogRoutes:
    """Whose log one is, and whose logs to ask for: V4's pools share one contract."""

    def __init__(self, specs: Iterable[PoolSpec]) -> None:
        self._own: dict[str, PoolSpec] = {}
        self._shared: dict[str, dict[str, PoolSpec]] = {}
        for spec in specs:
            if spec.kind == "v4":
                self._shared.setdefault(spec.address, {})[spec.pool_id] = spec
            else:
                self._own[spec.address] = spec

    @property
    def addresses(self) -> tuple[str, ...]:
        """The contracts that tell of these pools."""
        return (*self._own, *self._shared)

    def find(self, log: Log) -> PoolSpec | None:
        """Give the pool that a log is about; None when it is none of these."""
        spec = self._own.get(log.address)
        if spec is not None:
            return spec
        pools = self._shared.get(log.address)
        return pools.get(log.topics[1]) if pools is not None and len(log.topics) > 1 else None


def _synced(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    return PoolSynced(
        time_ns=time_ns,
        pool=spec.id,
        block_number=log.block_number,
        reserve0=str(uint_at(log.data, 0)),
        reserve1=str(uint_at(log.data, 1)),
    )


def _swapped(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    # After the two amounts, in V3 and V4 alike.
    return PoolSwapped(
        time_ns=time_ns,
        pool=spec.id,
        block_number=log.block_number,
        sqrt_price_x96=str(uint_at(log.data, 2)),
        tick=int_at(log.data, 4),
        liquidity=str(uint_at(log.data, 3)),
    )


def _minted(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    lower, upper = _tick(log.topics[2]), _tick(log.topics[3])
    return _liquidity(spec, log, time_ns, lower, upper, uint_at(log.data, 1))  # After the sender.


def _burnt(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    return _liquidity(spec, log, time_ns, _tick(log.topics[2]), _tick(log.topics[3]), -uint_at(log.data, 0))


def _modified(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    return _liquidity(spec, log, time_ns, int_at(log.data, 0), int_at(log.data, 1), int_at(log.data, 2))


def _liquidity(spec: PoolSpec, log: Log, time_ns: int, lower: int, upper: int, delta: int) -> PoolEvent:
    return PoolLiquidityChanged(
        time_ns=time_ns,
        pool=spec.id,
        block_number=log.block_number,
        tick_lower=lower,
        tick_upper=upper,
        liquidity_delta=str(delta),
    )


def _terms_changed(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    return PoolInvalidated(time_ns=time_ns, pool=spec.id, reason="its fee or its other terms changed")


def _tick(indexed: str) -> int:
    return int.from_bytes(bytes.fromhex(indexed[2:]), "big", signed=True)


_READERS: Final[Mapping[str, Mapping[str, _Reader]]] = MappingProxyType(
    {
        "v2": {V2_SYNC: _synced},
        "v3": {V3_SWAP: _swapped, V3_MINT: _minted, V3_BURN: _burnt},
        "v4": {V4_SWAP: _swapped, V4_LIQUIDITY: _modified, V4_PROTOCOL_FEE: _terms_changed},
    }
)
