"""Pools of a backtest as strategies see them: the replicas of live runs, kept at what the native kernel holds.

    kernel's replica ──changed──> PoolCopy.load ──> dex.V2Pool | dex.V3Pool ──> PoolMarket ──> strategy

A strategy that never asks for a pool costs nothing; one that asks reads the state anew only after a change: of a V3
pool with all its ticks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Literal

from dex import PoolReplica, V2Pool, V3Pool
from domain import Asset, InvariantError
from domain import events as e
from engine.market import PoolMarket

_RESERVES, _TICKS, _INVALID = 1, 3, 6
_TICK: Final = struct.Struct("<i16s16s")
_HEAD: Final = 32 + 4 + 16 + 4 + 4


@dataclass(frozen=True, slots=True)
class PoolTerms:
    """One pool of a run."""

    id: str
    token0: Asset
    token1: Asset
    forms: tuple[str, str]
    """The economic assets that its tokens are forms of: WETH is one of ETH."""
    fee_pips: int = 3_000
    kind: Literal["v2", "v3"] = "v2"


class PoolCopy:
    """One pool's market, told by the native kernel what it holds. The other side: native/python/src/sdk/pools.rs."""

    def __init__(self, terms: PoolTerms) -> None:
        kind = V2Pool if terms.kind == "v2" else V3Pool
        replica: PoolReplica = kind(terms.id, terms.token0.id, terms.token1.id, terms.fee_pips)
        self._terms = terms
        self.market = PoolMarket(terms.id, terms.token0, terms.token1, terms.fee_pips, replica)

    def load(self, block_number: int, state: bytes) -> None:
        """Take the kernel's state, a payload of `native/engine/src/payload.rs`.

        Raises:
            InvariantError: It is the state of another kind of pool, or none.
        """
        self.market.replica.apply(self._event(block_number, state))

    def _event(self, block_number: int, state: bytes) -> e.PoolSnapshotted | e.PoolInvalidated:
        terms, body = self._terms, state[1:]
        if state[0] == _INVALID:
            return e.PoolInvalidated(time_ns=0, pool=terms.id, reason=body.decode())
        if state[0] == _RESERVES and terms.kind == "v2" and len(body) == 64:
            return e.PoolSnapshotted(
                time_ns=0,
                pool=terms.id,
                block_number=block_number,
                kind="v2",
                token0=terms.token0.id,
                token1=terms.token1.id,
                fee_pips=terms.fee_pips,
                reserve0=_text(body[:32]),
                reserve1=_text(body[32:]),
            )
        if state[0] != _TICKS or terms.kind != "v3" or (len(body) - _HEAD) % _TICK.size:
            raise InvariantError(f"pool {terms.id}: the kernel holds no {terms.kind} pool, but kind {state[0]}")
        rows = list(_TICK.iter_unpack(body[_HEAD:]))
        return e.PoolSnapshotted(
            time_ns=0,
            pool=terms.id,
            block_number=block_number,
            kind="v3",
            token0=terms.token0.id,
            token1=terms.token1.id,
            fee_pips=terms.fee_pips,
            sqrt_price_x96=_text(body[:32]),
            tick=int.from_bytes(body[32:36], "little", signed=True),
            liquidity=_text(body[36:52]),
            tick_spacing=int.from_bytes(body[52:56], "little", signed=True),
            ticks=tuple((tick, str(int.from_bytes(net, "little", signed=True))) for tick, net, _ in rows),
            ticks_gross=tuple(_text(gross) for _, _, gross in rows),
        )


def _text(word: bytes) -> str:
    return str(int.from_bytes(word, "little"))
