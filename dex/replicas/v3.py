"""A Uniswap V3 pool: concentrated liquidity, quotes equal to `QuoterV2` to the last unit."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from dex.replicas.base import Piece, PoolReplica
from dex.replicas.ladder import Ladder, TickTable
from dex.replicas.swap_math import (
    PIPS,
    amount0_down,
    amount0_up,
    amount1_down,
    amount1_up,
    price_after_0_in,
    price_after_0_out,
    price_after_1_in,
    price_after_1_out,
    with_fee_up,
)
from dex.replicas.tick_math import MAX_TICK, MIN_TICK, Q96
from domain.errors import InvariantError
from domain.events import PoolEvent, PoolLiquidityChanged, PoolSnapshotted, PoolSwapped

_MAX_UINT160: Final = (1 << 160) - 1


class V3Pool(PoolReplica):
    """A concentrated-liquidity pool. A quote costs about a microsecond however many ticks it crosses."""

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int) -> None:
        super().__init__(pool_id, token0, token1, fee_pips)
        self.sqrt_price_x96 = 0
        self.tick = 0
        self.liquidity = 0
        self._use(TickTable(1))

    @property
    def ticks(self) -> tuple[tuple[int, int, int], ...]:
        """Initialised ticks ascending: (tick, net liquidity, gross liquidity)."""
        table = self._table
        return tuple((t, table.net[t], table.gross[t]) for t in table.ordered)

    @property
    def tick_spacing(self) -> int:
        return self._table.spacing

    def quote_exact_in_down(self, token_in: str, amount_in: int) -> int:
        ladder = self._down if self._is_token0(token_in) else self._up
        self._check(amount_in)
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if amount_in < ladder.first_in:
            return self._partial_in(ladder, self.liquidity, self.sqrt_price_x96, amount_in)
        entry, sums_in = ladder.entry, ladder.sums_in
        target = amount_in - ladder.first_in + sums_in[entry]
        while sums_in[-1] < target:
            if not ladder.extend():
                raise self._too_deep(amount_in, token_in, "in")
        at = bisect_right(sums_in, target, entry) - 1
        out = ladder.first_out + ladder.sums_out[at] - ladder.sums_out[entry]
        rest = target - sums_in[at]
        return out + (self._partial_in(ladder, ladder.liquidity[at], ladder.prices[at], rest) if rest else 0)

    def quote_exact_out_up(self, token_out: str, amount_out: int) -> int:
        ladder = self._up if self._is_token0(token_out) else self._down
        self._check(amount_out)
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if amount_out < ladder.first_out:
            return self._partial_out(ladder, self.liquidity, self.sqrt_price_x96, amount_out)
        if amount_out == ladder.first_out:
            return ladder.first_in
        entry, sums_out = ladder.entry, ladder.sums_out
        target = amount_out - ladder.first_out + sums_out[entry]
        while sums_out[-1] < target:
            if not ladder.extend():
                raise self._too_deep(amount_out, token_out, "out")
        # The contract stops at the first boundary that completes the output; the next may cost input and give none.
        at = bisect_left(sums_out, target, entry)
        if sums_out[at] > target:
            at -= 1
        taken = ladder.first_in + ladder.sums_in[at] - ladder.sums_in[entry]
        rest = target - sums_out[at]
        return taken + (self._partial_out(ladder, ladder.liquidity[at], ladder.prices[at], rest) if rest else 0)

    def mid_price_raw(self) -> Fraction:
        self._check(1)
        return Fraction(self.sqrt_price_x96**2, 1 << 192)

    def pieces(self, token_in: str) -> Iterator[Piece]:
        ladder = self._down if self._is_token0(token_in) else self._up
        self._check(1)
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if ladder.first_in:
            yield self._piece(ladder, 0, 0, self.liquidity, self.sqrt_price_x96, ladder.first_in)
        i = entry = ladder.entry
        while i + 1 < len(ladder.keys) or ladder.extend():
            size = ladder.sums_in[i + 1] - ladder.sums_in[i]
            if size:
                before_in = ladder.first_in + ladder.sums_in[i] - ladder.sums_in[entry]
                before_out = ladder.first_out + ladder.sums_out[i] - ladder.sums_out[entry]
                yield self._piece(ladder, before_in, before_out, ladder.liquidity[i], ladder.prices[i], size)
            i += 1

    def difference(self, snapshot: PoolSnapshotted) -> str:
        ours = (self.sqrt_price_x96, self.tick, self.liquidity)
        theirs = (int(snapshot.sqrt_price_x96), snapshot.tick, int(snapshot.liquidity))
        if ours != theirs:
            return f"(sqrt price, tick, liquidity) {ours}, on chain {theirs}"
        on_chain = {t: (int(net), int(g)) for (t, net), g in zip(snapshot.ticks, snapshot.ticks_gross, strict=True)}
        here = {t: (net, gross) for t, net, gross in self.ticks}
        wrong = [tick for tick in on_chain.keys() | here.keys() if on_chain.get(tick) != here.get(tick)]
        return f"ticks {sorted(wrong)[:5]} differ" if wrong else ""

    def _partial_in(self, ladder: Ladder, liquidity: int, price: int, amount_in: int) -> int:
        """Output of the last step, which does not reach its boundary."""
        effective = amount_in * (PIPS - self.fee_pips) // PIPS
        if not effective:
            return 0
        if ladder.is_up:
            return amount0_down(liquidity, price, price_after_1_in(price, liquidity, effective))
        return amount1_down(liquidity, price_after_0_in(price, liquidity, effective), price)

    def _partial_out(self, ladder: Ladder, liquidity: int, price: int, amount_out: int) -> int:
        """Input with fee of the last step, which does not reach its boundary."""
        if ladder.is_up:
            taken = amount1_up(liquidity, price, price_after_0_out(price, liquidity, amount_out))
        else:
            taken = amount0_up(liquidity, price_after_1_out(price, liquidity, amount_out), price)
        return with_fee_up(taken, self.fee_pips)

    @staticmethod
    def _piece(ladder: Ladder, before_in: int, before_out: int, liquidity: int, price: int, size: int) -> Piece:
        """Give one range's virtual reserves L/sqrt(p) of token 0 and L*sqrt(p) of token 1 at its beginning."""
        root = price / Q96
        zero, one = liquidity / root, liquidity * root
        reserves = (one, zero) if ladder.is_up else (zero, one)
        return Piece(float(before_in), float(before_out), *reserves, float(size))

    def _use(self, table: TickTable) -> None:
        self._table = table
        self._up = Ladder(table, self.fee_pips, is_up=True)
        self._down = Ladder(table, self.fee_pips, is_up=False)

    def _load(self, snapshot: PoolSnapshotted) -> str:
        if snapshot.tick_spacing <= 0 or len(snapshot.ticks_gross) != len(snapshot.ticks):
            return "the snapshot lacks its tick spacing or gross liquidity"
        table = TickTable(snapshot.tick_spacing)
        for (tick, net), gross in zip(snapshot.ticks, snapshot.ticks_gross, strict=True):
            if tick % table.spacing or not MIN_TICK <= tick <= MAX_TICK or int(gross) <= 0:
                return f"the snapshot's tick {tick} cannot be"
            table.change(tick, int(net), int(gross))
        self._use(table)
        return self._move(int(snapshot.sqrt_price_x96), snapshot.tick, int(snapshot.liquidity))

    def _change(self, event: PoolEvent) -> None:
        if isinstance(event, PoolSwapped):
            self.sqrt_price_x96, self.tick = int(event.sqrt_price_x96), event.tick
            self.liquidity = int(event.liquidity)
            self._up.release()
            self._down.release()
        elif isinstance(event, PoolLiquidityChanged):
            self._change_range(event.tick_lower, event.tick_upper, int(event.liquidity_delta))
        else:
            raise InvariantError(f"V3 pool {self.id} was given {type(event).__name__}")

    def _change_range(self, lower: int, upper: int, delta: int) -> None:
        if delta == 0:  # A burn of nothing only collects fees.
            return
        if not (self._table.change(lower, delta, delta) and self._table.change(upper, -delta, delta)):
            self.invalid_reason = f"a burn of {-delta} in {lower}..{upper} exceeds what the replica holds there"
            return
        self._up.cut(lower, upper)
        self._down.cut(lower, upper)
        if lower <= self.tick < upper:
            self.liquidity += delta

    def _move(self, sqrt_price: int, tick: int, liquidity: int) -> str:
        self.sqrt_price_x96, self.tick, self.liquidity = sqrt_price, tick, liquidity
        if not 0 < sqrt_price <= _MAX_UINT160:
            return "the pool is not initialised"
        if self._table.liquidity_at(tick) != liquidity:
            return f"its ticks add up to {self._table.liquidity_at(tick)} at tick {tick}, not to {liquidity}"
        return ""
