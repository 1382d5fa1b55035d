"""A Uniswap V4 pool without swap hooks and with a static fee: V3's steps, with the protocol's fee on top of the pool's.

The protocol takes its share of the input first and the pool's fee is taken from the rest, so that a swap pays
p + f - floor(p * f / 1e6) pips; the protocol's may differ by direction. Pools whose hooks act on swaps, or whose fee is
dynamic, are not replicated: no log tells what they will charge (`by_call`).
"""

from __future__ import annotations

from typing import Final

from dex.replicas.concentrated import ConcentratedPool
from dex.replicas.swap_math import PIPS
from domain.events import PoolSnapshotted

_PROTOCOL_FEE_MAX: Final = 1_000


class V4Pool(ConcentratedPool):
    """An entry of the PoolManager. The chain's own coin is one of its tokens, if any, as token 0."""

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int) -> None:
        super().__init__(pool_id, token0, token1, fee_pips)
        self.protocol_fees_pips = (0, 0)

    def difference(self, snapshot: PoolSnapshotted) -> str:
        if self.protocol_fees_pips != snapshot.protocol_fees_pips:
            return f"protocol fees {self.protocol_fees_pips}, on chain {snapshot.protocol_fees_pips}"
        return super().difference(snapshot)

    def _load(self, snapshot: PoolSnapshotted) -> str:
        fees = snapshot.protocol_fees_pips
        if not all(0 <= fee <= _PROTOCOL_FEE_MAX for fee in fees):
            return f"protocol fees of {fees} pips cannot be"
        self.protocol_fees_pips = fees
        self._fee_down, self._fee_up = (fee + self.fee_pips - fee * self.fee_pips // PIPS for fee in fees)
        return super()._load(snapshot)
