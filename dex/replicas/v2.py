"""A Uniswap V2 pair: constant product, quotes as `UniswapV2Library` rounds them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from dex.replicas.base import Piece, PoolReplica
from domain.errors import InvariantError
from domain.events import PoolEvent, PoolSnapshotted, PoolSynced

_PIPS: Final = 1_000_000
_MAX_RESERVE: Final = (1 << 112) - 1


class V2Pool(PoolReplica):
    """A constant-product pair. The whole state is two reserves, and every `Sync` log carries both."""

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int = 3000) -> None:
        super().__init__(pool_id, token0, token1, fee_pips)
        self.reserve0 = 0
        self.reserve1 = 0

    def quote_exact_in_down(self, token_in: str, amount_in: int) -> int:
        is_zero = self._is_token0(token_in)
        self._check(amount_in)
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if is_zero else (self.reserve1, self.reserve0)
        if reserve_in + amount_in > _MAX_RESERVE:  # The pair's reserves are uint112: the swap would revert.
            raise self._too_deep(amount_in, token_in, "in")
        effective = amount_in * (_PIPS - self.fee_pips)
        return effective * reserve_out // (reserve_in * _PIPS + effective)

    def quote_exact_out_up(self, token_out: str, amount_out: int) -> int:
        out_is_zero = self._is_token0(token_out)
        self._check(amount_out)
        reserve_in, reserve_out = (self.reserve1, self.reserve0) if out_is_zero else (self.reserve0, self.reserve1)
        if amount_out >= reserve_out:
            raise self._too_deep(amount_out, token_out, "out")
        # `+ 1` even where the division is exact, as the library has it.
        amount_in = reserve_in * amount_out * _PIPS // ((reserve_out - amount_out) * (_PIPS - self.fee_pips)) + 1
        if reserve_in + amount_in > _MAX_RESERVE:
            raise self._too_deep(amount_out, token_out, "out")
        return amount_in

    def mid_price_raw(self) -> Fraction:
        self._check(1)
        return Fraction(self.reserve1, self.reserve0)

    def pieces(self, token_in: str) -> Iterator[Piece]:
        is_zero = self._is_token0(token_in)
        self._check(1)
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if is_zero else (self.reserve1, self.reserve0)
        yield Piece(0.0, 0.0, float(reserve_in), float(reserve_out), math.inf)

    def difference(self, snapshot: PoolSnapshotted) -> str:
        ours, theirs = (self.reserve0, self.reserve1), (int(snapshot.reserve0), int(snapshot.reserve1))
        return "" if ours == theirs else f"reserves {ours}, on chain {theirs}"

    def _load(self, snapshot: PoolSnapshotted) -> str:
        self.reserve0, self.reserve1 = int(snapshot.reserve0), int(snapshot.reserve1)
        return "" if self.reserve0 > 0 and self.reserve1 > 0 else "the pair is empty"

    def _change(self, event: PoolEvent) -> None:
        if not isinstance(event, PoolSynced):
            raise InvariantError(f"V2 pool {self.id} was given {type(event).__name__}")
        self.reserve0, self.reserve1 = int(event.reserve0), int(event.reserve1)
        if not (self.reserve0 and self.reserve1):
            self.invalid_reason = "the pair is empty"
