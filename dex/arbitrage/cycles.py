"""The best size around a cycle of pools: in closed form over their pieces, then settled in exact integers.

Going around, what comes back is a Möbius map of what went in, as long as every pool stays on the piece it is on
(`dex/arbitrage/curves.py`): `u` more input gives `a*u / (1 + c*u)` more, so the best is where the marginal output is
one, `u* = (sqrt(a) - 1) / c`. The search goes there, looks around again, and ends when it stays where it is, which is
at once when no piece's end was passed. The profit is concave, so a bracket keeps every wrong turn bounded.

The float optimum is then made exact. Amounts in between are whole units, and a token whose unit is worth much (USDC
has six decimals, ether eighteen) makes a staircase: inputs that buy the same whole number of units earn less the
larger they are, and the next pool rounds again. So a few steps near the optimum, those on which that pool's rounding
takes least, are tried with the smallest input that reaches them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dex.arbitrage.curves import Curve
from dex.replicas.base import PoolReplica
from domain.errors import InvariantError, Refused

_ROUNDS_MAX: Final = 200
_WORTH_TRYING: Final = 1e-11
"""A staircase whose steps are smaller than this share of the profit is left alone."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One swap of a cycle: a pool and a direction. Tokens are the pool's own asset ids."""

    pool: str
    token_in: str
    token_out: str


@dataclass(frozen=True, slots=True)
class Cycle:
    """Swaps that begin and end with the same token, each on a pool of its own."""

    legs: tuple[Leg, ...]

    def __post_init__(self) -> None:
        if len(self.legs) < 2 or len({leg.pool for leg in self.legs}) != len(self.legs):
            raise InvariantError(f"a cycle needs two or more different pools, found {[leg.pool for leg in self.legs]}")

    @property
    def token(self) -> str:
        """What goes in and comes back."""
        return self.legs[0].token_in


@dataclass(frozen=True, slots=True)
class CycleOptimum:
    """The most profitable size of a cycle, exact for the replicas it was found on."""

    cycle: Cycle
    amounts: tuple[int, ...]
    """What goes into each leg, and at last what comes back; raw units of each leg's token."""

    @property
    def amount_in(self) -> int:
        return self.amounts[0]

    @property
    def profit(self) -> int:
        """In raw units of the cycle's token, before gas and fees of borrowed funds."""
        return self.amounts[-1] - self.amounts[0]


def solve_cycle(
    cycle: Cycle, replicas: Mapping[str, PoolReplica], curves: Sequence[Curve], *, amount_max: int | None = None
) -> CycleOptimum | None:
    """Size a cycle for the most profit; None when no size earns anything.

    Args:
        cycle: What to size.
        replicas: Its pools' replicas; they settle the amounts.
        curves: One per leg, of the same state.
        amount_max: The most that may go in.

    Raises:
        Refused: A replica is stale.
    """
    best, bend = _best_input(curves)
    if best < 1:
        return None
    amount = int(best) if amount_max is None else min(int(best), amount_max)
    return _settle(cycle, replicas, curves, amount, bend, amount_max) if amount > 0 else None


def forward(cycle: Cycle, replicas: Mapping[str, PoolReplica], amount: int) -> tuple[int, ...] | None:
    """Give what an input becomes at each leg, exactly; None where a pool cannot take it.

    Raises:
        Refused: A replica is stale.
    """
    amounts = [amount]
    try:
        for leg in cycle.legs:
            if amount <= 0:
                return None
            amount = replicas[leg.pool].quote_exact_in_down(leg.token_in, amount, leg.token_out)
            amounts.append(amount)
    except Refused as exc:
        if exc.rule != "pool_depth":
            raise
        return None
    return tuple(amounts)


def _best_input(curves: Sequence[Curve]) -> tuple[float, float]:
    """Find where one more unit in gives one unit back, and how the cycle bends there; 0 when it never gives so much."""
    amount, low, high, bend = 0.0, 0.0, math.inf, 0.0
    for _ in range(_ROUNDS_MAX):
        through, marginal, bend = amount, 1.0, 0.0
        for curve in curves:
            local = curve.at(through)
            if local is None:
                marginal = 0.0
                break
            through, slope, bent = local
            bend += marginal * bent
            marginal *= slope
        if marginal > 1:
            low = amount
        elif amount == 0:
            return 0.0, bend
        else:
            high = amount
        if high < math.inf and high - low <= max(1e-13 * high, 0.25):
            return low, bend
        if marginal > 0 and bend > 0:
            step = (math.sqrt(marginal) - 1) / bend
            if abs(step) <= 1e-13 * amount or abs(step) < 0.25:
                return amount, bend
            ahead = amount + step
            if low < ahead < high:
                amount = ahead
                continue
        amount = low * 2 + 1 if high == math.inf else (low + high) / 2
    return low, bend


def _settle(
    cycle: Cycle,
    replicas: Mapping[str, PoolReplica],
    curves: Sequence[Curve],
    amount: int,
    bend: float,
    amount_max: int | None,
) -> CycleOptimum | None:
    found = forward(cycle, replicas, amount)
    for shift in (40, 30, 20, 10):  # At the end of what a pool holds, the float optimum may lie just beyond.
        if found is not None:
            break
        found = forward(cycle, replicas, amount - 1 - (amount >> shift))
    if found is None:
        return None
    amount_in, profit = found[0], found[-1] - found[0]
    best, gain = amount_in, profit
    for position in range(len(found)):
        unit_worth = amount_in / max(found[position], 1)
        if unit_worth < profit * _WORTH_TRYING or unit_worth < 0.5:
            continue
        near = found[position]
        # Around the best input, going `u` away costs `bend * u**2`.
        reach = 0.5 / (bend * unit_worth) if bend > 0 else 0.0
        for wanted in set(curves[position].favoured(near, reach) if position < len(curves) else (near, near + 1)):
            tried = _around(cycle, replicas, position, wanted)
            if tried is not None and tried[1] > gain and (amount_max is None or tried[0] <= amount_max):
                best, gain = tried
    settled = found if best == amount_in else forward(cycle, replicas, best)
    return CycleOptimum(cycle, settled) if settled is not None and settled[-1] > settled[0] else None


def _around(cycle: Cycle, replicas: Mapping[str, PoolReplica], position: int, wanted: int) -> tuple[int, int] | None:
    """Reach an amount before the leg at `position` with the least input; give that, and at least how much it earns."""
    if wanted <= 0:
        return None
    amount = out = wanted
    try:
        for leg in reversed(cycle.legs[:position]):
            amount = replicas[leg.pool].quote_exact_out_up(leg.token_out, amount, leg.token_in)
        for leg in cycle.legs[position:]:
            if out <= 0:
                return None
            out = replicas[leg.pool].quote_exact_in_down(leg.token_in, out, leg.token_out)
    except Refused as exc:
        if exc.rule != "pool_depth":
            raise
        return None
    return amount, out - amount
