"""A Uniswap V2 pair: `x * y = k` with the fee taken from the input, as `UniswapV2Library` computes it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Self

import msgspec

from dex.replicas.base import Piece, PoolReplica
from domain.errors import InvariantError
from domain.events import PoolEvent, PoolSnapshotted, PoolSynced

_PIPS: Final = 1_000_000
_MAX_RESERVE: Final = (1 << 112) - 1


class V2Pool(PoolReplica):
    """A constant-product pair. The whole state is two reserves, and every `Sync` log carries both."""

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int = 3000) -> None:
        super().__init__(pool_id, (token0, token1), fee_pips)
        self.reserve0 = 0
        self.reserve1 = 0

    def quote_exact_in_down(self, token_in: str, amount_in: int, token_out: str = "") -> int:
        is_zero = self._zero_is(token_in, token_out)
        self._check(amount_in)
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if is_zero else (self.reserve1, self.reserve0)
        if reserve_in + amount_in > _MAX_RESERVE:  # The pair's reserves are uint112: the swap would revert.
            raise self._too_deep(amount_in, token_in, "in")
        effective = amount_in * (_PIPS - self.fee_pips)
        return effective * reserve_out // (reserve_in * _PIPS + effective)

    def quote_exact_out_up(self, token_out: str, amount_out: int, token_in: str = "") -> int:
        out_is_zero = self._zero_is(token_out, token_in)
        self._check(amount_out)
        reserve_in, reserve_out = (self.reserve1, self.reserve0) if out_is_zero else (self.reserve0, self.reserve1)
        if amount_out >= reserve_out:
            raise self._too_deep(amount_out, token_out, "out")
        # `+ 1` even where the division is exact, as the library has it.
        amount_in = reserve_in * amount_out * _PIPS // ((reserve_out - amount_out) * (_PIPS - self.fee_pips)) + 1
        if reserve_in + amount_in > _MAX_RESERVE:
            raise self._too_deep(amount_out, token_out, "out")
        return amount_in

    def after_exact_in(self, token_in: str, amount_in: int, token_out: str = "") -> Self:
        return self._moved(self._zero_is(token_in), amount_in, self.quote_exact_in_down(token_in, amount_in, token_out))

    def after_exact_out(self, token_out: str, amount_out: int, token_in: str = "") -> Self:
        amount_in = self.quote_exact_out_up(token_out, amount_out, token_in)
        return self._moved(not self._zero_is(token_out), amount_in, amount_out)

    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        is_zero = self._zero_is(token_in or self.token0, token_out)
        self._ensure_valid()
        return Fraction(self.reserve1, self.reserve0) if is_zero else Fraction(self.reserve0, self.reserve1)

    def marginal_price(self, token_in: str, token_out: str = "", amount_in: int = 0) -> float:
        is_zero = self._zero_is(token_in, token_out)
        self._ensure_valid()
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if is_zero else (self.reserve1, self.reserve0)
        if reserve_in + amount_in > _MAX_RESERVE:
            return 0.0
        return self.gamma * reserve_in * reserve_out / (reserve_in + self.gamma * amount_in) ** 2

    def pieces(self, token_in: str, token_out: str = "") -> Iterator[Piece]:
        is_zero = self._zero_is(token_in, token_out)
        self._ensure_valid()
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if is_zero else (self.reserve1, self.reserve0)
        yield Piece(0.0, 0.0, float(reserve_in), float(reserve_out), math.inf)

    def difference(self, snapshot: PoolSnapshotted) -> str:
        ours, theirs = (self.reserve0, self.reserve1), (int(snapshot.reserve0), int(snapshot.reserve1))
        return "" if ours == theirs else f"reserves {ours}, on chain {theirs}"

    def _moved(self, zero_in: bool, amount_in: int, amount_out: int) -> Self:
        fork = self._fork()
        change0, change1 = (amount_in, -amount_out) if zero_in else (-amount_out, amount_in)
        fork.reserve0, fork.reserve1 = self.reserve0 + change0, self.reserve1 + change1
        return fork

    def _load(self, snapshot: PoolSnapshotted) -> str:
        self.reserve0, self.reserve1 = int(snapshot.reserve0), int(snapshot.reserve1)
        return "" if self.reserve0 > 0 and self.reserve1 > 0 else "the pair is empty"

    def _change(self, event: PoolEvent) -> None:
        if not isinstance(event, PoolSynced):
            raise InvariantError(f"V2 pool {self.id} was given {type(event).__name__}")
        self.reserve0, self.reserve1 = int(event.reserve0), int(event.reserve1)
        if not (self.reserve0 and self.reserve1):
            self.invalid_reason = "the pair is empty"

    def _undo(self, event: PoolEvent) -> PoolEvent | None:
        if not isinstance(event, PoolSynced):
            return None
        return msgspec.structs.replace(event, reserve0=str(self.reserve0), reserve1=str(self.reserve1))
