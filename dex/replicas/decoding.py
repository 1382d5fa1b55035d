"""Pool logs as domain events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from chain import Log
from chain.abi import int_at, topic, uint_at
from dex.pools import BALANCER_VAULT, PoolSpec
from dex.replicas.balances import BalancePool
from dex.replicas.base import PoolReplica
from dex.replicas.curve import CurveStablePool
from domain.errors import InvariantError, PlatformError
from domain.events import (
    PoolBalancesSynced,
    PoolEvent,
    PoolInvalidated,
    PoolLiquidityChanged,
    PoolSwapped,
    PoolSynced,
)

V2_SYNC: Final = topic("Sync(uint112,uint112)")
V3_SWAP: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
V3_MINT: Final = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
V3_BURN: Final = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
V4_SWAP: Final = topic("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)")
V4_LIQUIDITY: Final = topic("ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)")
V4_PROTOCOL_FEE: Final = topic("ProtocolFeeUpdated(bytes32,uint24)")
VAULT_SWAP: Final = topic("Swap(bytes32,address,address,uint256,uint256)")
VAULT_BALANCES: Final = topic("PoolBalanceChanged(bytes32,address,address[],int256[],uint256[])")
VAULT_MANAGED: Final = topic("PoolBalanceManaged(bytes32,address,address,int256,int256)")
CURVE_EXCHANGE: Final = topic("TokenExchange(address,int128,uint256,int128,uint256)")

_BALANCER_TERMS: Final = (
    topic("SwapFeePercentageChanged(uint256)"),
    topic("AmpUpdateStarted(uint256,uint256,uint256,uint256)"),
    topic("AmpUpdateStopped(uint256)"),
    topic("PausedStateChanged(bool)"),
)
# What a deposit or withdrawal leaves of its fees in the balances is not in its log.
_CURVE_TERMS: Final = (
    topic("AddLiquidity(address,uint256[],uint256[],uint256,uint256)"),
    topic("RemoveLiquidity(address,uint256[],uint256[],uint256)"),
    topic("RemoveLiquidityOne(address,int128,uint256,uint256,uint256)"),
    topic("RemoveLiquidityImbalance(address,uint256[],uint256[],uint256,uint256)"),
    topic("RampA(uint256,uint256,uint256,uint256)"),
    topic("StopRampA(uint256,uint256)"),
    topic("ApplyNewFee(uint256,uint256)"),
)

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
    """Whose log one is, and whose logs to ask for: V4's pools share one contract, Balancer's one Vault."""

    def __init__(self, specs: Iterable[PoolSpec]) -> None:
        self._own: dict[str, PoolSpec] = {}
        self._shared: dict[str, dict[str, PoolSpec]] = {}
        for spec in specs:
            if spec.kind == "v4":
                self._shared.setdefault(spec.address, {})[spec.pool_id] = spec
            else:
                self._own[spec.address] = spec
                if spec.kind.startswith("balancer-"):
                    self._shared.setdefault(BALANCER_VAULT, {})[spec.pool_id] = spec

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


def _vault_swapped(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    pool = _holding(spec, replica)
    balances = list(pool.balances)
    balances[pool.places[log.topics[2][-40:]]] += uint_at(log.data, 0)
    balances[pool.places[log.topics[3][-40:]]] -= uint_at(log.data, 1)
    return _balances(spec, log, time_ns, balances)


def _vault_changed(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    # A join or exit: what the protocol takes leaves the balances besides. The Vault lists all tokens, in order.
    deltas, fees = uint_at(log.data, 1) // 32 + 1, uint_at(log.data, 2) // 32 + 1
    balances = [
        held + int_at(log.data, deltas + i) - uint_at(log.data, fees + i)
        for i, held in enumerate(_holding(spec, replica).balances)
    ]
    return _balances(spec, log, time_ns, balances)


def _vault_managed(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    # An asset manager: what it moves between cash and managed stays the pool's; what is left over is profit or loss.
    pool = _holding(spec, replica)
    balances = list(pool.balances)
    balances[pool.places[log.topics[3][-40:]]] += int_at(log.data, 0) + int_at(log.data, 1)
    return _balances(spec, log, time_ns, balances)


def _holding(spec: PoolSpec, replica: PoolReplica) -> BalancePool:
    if not isinstance(replica, BalancePool):
        raise InvariantError(f"pool {spec.id} has no balances")
    return replica


def _balances(spec: PoolSpec, log: Log, time_ns: int, balances: Iterable[int]) -> PoolEvent:
    return PoolBalancesSynced(
        time_ns=time_ns, pool=spec.id, block_number=log.block_number, balances=tuple([str(held) for held in balances])
    )


def _exchanged(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    """The log says what moved, the mathematics what the protocol took: when they disagree, neither is believed."""
    if not isinstance(replica, CurveStablePool):
        raise InvariantError(f"pool {spec.id} is no Curve pool")
    sold, amount_in, bought, amount_out = (uint_at(log.data, word) for word in range(4))
    if replica.is_valid and log.block_number > replica.snapshot_block:
        try:
            expected = replica.quote_exact_in_down(replica.tokens[sold], amount_in, replica.tokens[bought])
        except PlatformError as exc:
            return _doubtful(spec, time_ns, f"an exchange that cannot be: {exc}")
        if expected != amount_out:
            return _doubtful(spec, time_ns, f"an exchange gave {amount_out}, expected were {expected}")
        balances = replica.balances_after(sold, bought, amount_in, amount_out)
    else:
        balances = replica.balances  # Ignored by the replica: its snapshot holds this, or it awaits one.
    return _balances(spec, log, time_ns, balances)


def _doubtful(spec: PoolSpec, time_ns: int, reason: str) -> PoolEvent:
    return PoolInvalidated(time_ns=time_ns, pool=spec.id, reason=reason)


def _terms_changed(spec: PoolSpec, log: Log, time_ns: int, replica: PoolReplica) -> PoolEvent:
    return PoolInvalidated(time_ns=time_ns, pool=spec.id, reason="its fee, its liquidity or its terms changed")


def _tick(indexed: str) -> int:
    return int.from_bytes(bytes.fromhex(indexed[2:]), "big", signed=True)


_BALANCER: Final[Mapping[str, _Reader]] = {
    VAULT_SWAP: _vault_swapped,
    VAULT_BALANCES: _vault_changed,
    VAULT_MANAGED: _vault_managed,
    **dict.fromkeys(_BALANCER_TERMS, _terms_changed),
}
_READERS: Final[Mapping[str, Mapping[str, _Reader]]] = MappingProxyType(
    {
        "v2": {V2_SYNC: _synced},
        "v3": {V3_SWAP: _swapped, V3_MINT: _minted, V3_BURN: _burnt},
        "v4": {V4_SWAP: _swapped, V4_LIQUIDITY: _modified, V4_PROTOCOL_FEE: _terms_changed},
        "curve-stable": {CURVE_EXCHANGE: _exchanged, **dict.fromkeys(_CURVE_TERMS, _terms_changed)},
        "balancer-stable": _BALANCER,
        "balancer-weighted": _BALANCER,
    }
)
