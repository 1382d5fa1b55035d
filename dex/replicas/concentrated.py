"""Concentrated liquidity, as V3 pools and V4's PoolManager keep it: the same steps, rounded in the same places."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple, Self

import msgspec

from dex.replicas.base import Piece, PoolReplica
from dex.replicas.ladder import Ladder, TickTable
from dex.replicas.swap_math import (
    MAX_UINT256,
    PIPS,
    amount0_up,
    amount1_down,
    amount1_up,
    price_after_0_in,
    price_after_0_out,
    price_after_1_in,
    price_after_1_out,
    with_fee_up,
)
from dex.replicas.tick_math import MAX_TICK, MIN_TICK, Q96, tick_at
from domain.errors import InvariantError, Refused
from domain.events import PoolEvent, PoolLiquidityChanged, PoolSnapshotted, PoolSwapped

_MAX_UINT160: Final = (1 << 160) - 1


class _Place(NamedTuple):
    """Where a swap comes to stand: at a boundary of the ladder (`rest` 0), or in the range beyond it, or before all."""

    passed: int
    """Index of the last boundary passed; -1 when none was."""
    rest: int
    """Input or output, as asked, of the last step, which reaches no boundary."""
    price: int
    liquidity: int
    """In force where the last step begins."""


class _Near(NamedTuple):
    """Quotes of one direction with all that does not depend on the amount bound, for as long as the state lasts."""

    below: int
    """Smaller inputs reach no boundary."""
    others: tuple[str, str]
    """How the token out may be named: not at all, too."""
    quote: Callable[[int], int]
    """Of such an input."""
    ladder: Ladder
    """For the others; anchored."""


class ConcentratedPool(PoolReplica):
    """A pool of liquidity in ranges of price. A quote costs about a microsecond however many ticks it crosses."""

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int) -> None:
        super().__init__(pool_id, (token0, token1), fee_pips)
        self.sqrt_price_x96 = 0
        self.tick = 0
        self.liquidity = 0
        self._fee_down = self._fee_up = fee_pips
        """Charged on token 0 (the price falls) and on token 1."""
        self._table_is_shared = False
        self._near: dict[str, _Near] = {}
        """By token in; void as soon as the state is another."""
        self._use(TickTable(1))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_near": {}}  # What is bound there is made anew where the copy is used.

    @property
    def ticks(self) -> tuple[tuple[int, int, int], ...]:
        """Initialised ticks ascending: (tick, net liquidity, gross liquidity)."""
        table = self._table
        return tuple((t, table.net[t], table.gross[t]) for t in table.ordered)

    @property
    def tick_spacing(self) -> int:
        return self._table.spacing

    def quote_exact_in_down(self, token_in: str, amount_in: int, token_out: str = "") -> int:
        near = self._near.get(token_in)
        if near is not None and amount_in > 0 and not self.invalid_reason and token_out in near.others:
            if amount_in < near.below:
                return near.quote(amount_in)
            ladder = near.ladder
        else:
            ladder = self._down if self._zero_is(token_in, token_out) else self._up
            self._check(amount_in)
            if not ladder.is_anchored:
                ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
            self._near[token_in] = self._nearby(ladder)
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

    def quote_exact_out_up(self, token_out: str, amount_out: int, token_in: str = "") -> int:
        ladder = self._up if self._zero_is(token_out, token_in) else self._down
        self._check(amount_out)
        place = self._find_out(ladder, amount_out, token_out)
        if place.passed < 0:
            return self._partial_out(ladder, place.liquidity, place.price, amount_out)
        taken = ladder.first_in + ladder.sums_in[place.passed] - ladder.sums_in[ladder.entry]
        if not place.rest:
            return taken
        return taken + self._partial_out(ladder, place.liquidity, place.price, place.rest)

    def after_exact_in(self, token_in: str, amount_in: int, token_out: str = "") -> Self:
        ladder = self._down if self._zero_is(token_in, token_out) else self._up
        self._check(amount_in)
        place = self._find_in(ladder, amount_in, token_in)
        effective = place.rest * (PIPS - ladder.fee_pips) // PIPS
        if not effective:
            price = place.price
        elif ladder.is_up:
            price = price_after_1_in(place.price, place.liquidity, effective)
        else:
            price = price_after_0_in(place.price, place.liquidity, effective)
        return self._moved(ladder, place, price)

    def after_exact_out(self, token_out: str, amount_out: int, token_in: str = "") -> Self:
        ladder = self._up if self._zero_is(token_out, token_in) else self._down
        self._check(amount_out)
        place = self._find_out(ladder, amount_out, token_out)
        if not place.rest:
            price = place.price
        elif ladder.is_up:
            price = price_after_0_out(place.price, place.liquidity, place.rest)
        else:
            price = price_after_1_out(place.price, place.liquidity, place.rest)
        return self._moved(ladder, place, price)

    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        is_zero = self._zero_is(token_in or self.token0, token_out)
        self._ensure_valid()
        square = self.sqrt_price_x96**2
        return Fraction(square, 1 << 192) if is_zero else Fraction(1 << 192, square)

    def marginal_price(self, token_in: str, token_out: str = "", amount_in: int = 0) -> float:
        ladder = self._down if self._zero_is(token_in, token_out) else self._up
        self._ensure_valid()
        gamma = 1 - ladder.fee_pips / PIPS
        try:
            place = self._find_in(ladder, amount_in, token_in)
        except Refused:
            return 0.0
        if place.passed >= 0 and not place.liquidity:  # The next range that holds something.
            at = place.passed
            while not ladder.liquidity[at]:
                if at + 1 == len(ladder.keys) and not ladder.extend():
                    return 0.0
                at += 1
            place = _Place(at, 0, ladder.prices[at], ladder.liquidity[at])
        reserve_in, reserve_out = _reserves(ladder, place.liquidity, place.price)
        if not reserve_in:
            return 0.0
        return gamma * reserve_in * reserve_out / (reserve_in + gamma * place.rest) ** 2

    def pieces(self, token_in: str, token_out: str = "") -> Iterator[Piece]:
        ladder = self._down if self._zero_is(token_in, token_out) else self._up
        self._ensure_valid()
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if ladder.first_in:
            yield _piece(ladder, 0, 0, self.liquidity, self.sqrt_price_x96, ladder.first_in)
        i = entry = ladder.entry
        while i + 1 < len(ladder.keys) or ladder.extend():
            size = ladder.sums_in[i + 1] - ladder.sums_in[i]
            if size:
                before_in = ladder.first_in + ladder.sums_in[i] - ladder.sums_in[entry]
                before_out = ladder.first_out + ladder.sums_out[i] - ladder.sums_out[entry]
                yield _piece(ladder, before_in, before_out, ladder.liquidity[i], ladder.prices[i], size)
            i += 1

    def gamma_of(self, token_in: str) -> float:
        return 1 - (self._fee_down if self._zero_is(token_in) else self._fee_up) / PIPS

    def difference(self, snapshot: PoolSnapshotted) -> str:
        ours = (self.sqrt_price_x96, self.tick, self.liquidity)
        theirs = (int(snapshot.sqrt_price_x96), snapshot.tick, int(snapshot.liquidity))
        if ours != theirs:
            return f"(sqrt price, tick, liquidity) {ours}, on chain {theirs}"
        on_chain = {t: (int(net), int(g)) for (t, net), g in zip(snapshot.ticks, snapshot.ticks_gross, strict=True)}
        here = {t: (net, gross) for t, net, gross in self.ticks}
        wrong = [tick for tick in on_chain.keys() | here.keys() if on_chain.get(tick) != here.get(tick)]
        return f"ticks {sorted(wrong)[:5]} differ" if wrong else ""

    def _find_in(self, ladder: Ladder, amount_in: int, token_in: str) -> _Place:
        """Where an input is used up. The contract stops at the first boundary that does so."""
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if amount_in < ladder.first_in or not amount_in:
            return _Place(-1, amount_in, self.sqrt_price_x96, self.liquidity)
        entry, sums_in = ladder.entry, ladder.sums_in
        target = amount_in - ladder.first_in + sums_in[entry]
        while sums_in[-1] < target:
            if not ladder.extend():
                raise self._too_deep(amount_in, token_in, "in")
        at = bisect_left(sums_in, target, entry)
        if sums_in[at] > target:
            at = bisect_right(sums_in, target, entry) - 1
        return _Place(at, target - sums_in[at], ladder.prices[at], ladder.liquidity[at])

    def _find_out(self, ladder: Ladder, amount_out: int, token_out: str) -> _Place:
        """Where an output is complete. The contract stops at the first boundary that does so; the next may cost input
        and give none.
        """
        if not ladder.is_anchored:
            ladder.anchor(self.sqrt_price_x96, self.tick, self.liquidity)
        if amount_out < ladder.first_out:
            return _Place(-1, amount_out, self.sqrt_price_x96, self.liquidity)
        entry, sums_out = ladder.entry, ladder.sums_out
        target = amount_out - ladder.first_out + sums_out[entry]
        while sums_out[-1] < target:
            if not ladder.extend():
                raise self._too_deep(amount_out, token_out, "out")
        at = bisect_left(sums_out, target, entry)
        if sums_out[at] > target:
            at -= 1
        return _Place(at, target - sums_out[at], ladder.prices[at], ladder.liquidity[at])

    def _moved(self, ladder: Ladder, place: _Place, price: int) -> Self:
        """Give a fork standing at a price that the walk to `place` and its last step lead to."""
        fork = self._fork()
        fork._table_is_shared = self._table_is_shared = True
        fork._up, fork._down = self._up.fork(), self._down.fork()
        fork._near = {}
        fork.sqrt_price_x96, index, is_up = price, place.passed, ladder.is_up
        ahead = index + 1 if index >= 0 else ladder.entry
        if place.rest and ahead < len(ladder.keys) and price == ladder.prices[ahead]:
            index = ahead  # Rounding brought the last step to its boundary all the same, which is crossed then.
        elif price != place.price:
            fork.tick, fork.liquidity = tick_at(price), place.liquidity
            return fork
        if index >= 0:
            # Going down the contract stands below a boundary it has reached, though the price is the boundary's.
            fork.tick = ladder.keys[index] if is_up else -ladder.keys[index] - 1
            fork.liquidity = ladder.liquidity[index]
        return fork

    def _nearby(self, ladder: Ladder) -> _Near:
        """Bind everything that a quote within the first range needs: what `_partial_in` gives, in half the time."""
        liquidity, price, kept = self.liquidity, self.sqrt_price_x96, PIPS - ladder.fee_pips
        if not liquidity:
            return _Near(0, ("", self.token0 if ladder.is_up else self.token1), int, ladder)
        shifted, least = liquidity << 96, -(liquidity << 96) * price

        def up(amount_in: int) -> int:
            after = price + (amount_in * kept // PIPS << 96) // liquidity
            return (shifted * (after - price) // after) // price

        def down(amount_in: int) -> int:
            # `least` is below zero, so that dividing rounds the new price up.
            return liquidity * (price + least // (shifted + amount_in * kept // PIPS * price)) >> 96

        if ladder.is_up:
            return _Near(ladder.first_in, ("", self.token0), up, ladder)
        # Beyond this the contract falls back to a coarser formula.
        fits = (MAX_UINT256 - shifted) // price
        return _Near(min(ladder.first_in, fits), ("", self.token1), down, ladder)

    def _partial_in(self, ladder: Ladder, liquidity: int, price: int, amount_in: int) -> int:
        """Output of the last step, which does not reach its boundary."""
        effective = amount_in * (PIPS - ladder.fee_pips) // PIPS
        if not effective:
            return 0
        if ladder.is_up:  # As `price_after_1_in` and `amount0_down` have it; calls cost as much as the arithmetic.
            after = price + (effective << 96) // liquidity
            return ((liquidity << 96) * (after - price) // after) // price
        return amount1_down(liquidity, price_after_0_in(price, liquidity, effective), price)

    def _partial_out(self, ladder: Ladder, liquidity: int, price: int, amount_out: int) -> int:
        """Input with fee of the last step, which does not reach its boundary."""
        if ladder.is_up:
            taken = amount1_up(liquidity, price, price_after_0_out(price, liquidity, amount_out))
        else:
            taken = amount0_up(liquidity, price_after_1_out(price, liquidity, amount_out), price)
        return with_fee_up(taken, ladder.fee_pips)

    def _use(self, table: TickTable) -> None:
        self._table = table
        self._near = {}
        self._table_is_shared = False
        self._up = Ladder(table, self._fee_up, is_up=True)
        self._down = Ladder(table, self._fee_down, is_up=False)

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
        self._near = {}
        if isinstance(event, PoolSwapped):
            self.sqrt_price_x96, self.tick = int(event.sqrt_price_x96), event.tick
            self.liquidity = int(event.liquidity)
            self._up.release()
            self._down.release()
        elif isinstance(event, PoolLiquidityChanged):
            self._change_range(event.tick_lower, event.tick_upper, int(event.liquidity_delta))
        else:
            raise InvariantError(f"pool {self.id} was given {type(event).__name__}")

    def _undo(self, event: PoolEvent) -> PoolEvent | None:
        if isinstance(event, PoolSwapped):
            return msgspec.structs.replace(
                event, sqrt_price_x96=str(self.sqrt_price_x96), tick=self.tick, liquidity=str(self.liquidity)
            )
        if isinstance(event, PoolLiquidityChanged):
            return msgspec.structs.replace(event, liquidity_delta=str(-int(event.liquidity_delta)))
        return None

    def _change_range(self, lower: int, upper: int, delta: int) -> None:
        if delta == 0:  # A burn of nothing only collects fees.
            return
        if self._table_is_shared:
            self._table = self._table.copy()
            self._table_is_shared = False
            self._up.detach(self._table)
            self._down.detach(self._table)
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


def _reserves(ladder: Ladder, liquidity: int, price: int) -> tuple[float, float]:
    """Virtual reserves of one range at a price: L/sqrt(p) of token 0, L*sqrt(p) of token 1; (in, out)."""
    root = price / Q96
    zero, one = liquidity / root, liquidity * root
    return (one, zero) if ladder.is_up else (zero, one)


def _piece(ladder: Ladder, before_in: int, before_out: int, liquidity: int, price: int, size: int) -> Piece:
    return Piece(float(before_in), float(before_out), *_reserves(ladder, liquidity, price), float(size))
