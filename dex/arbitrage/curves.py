"""A pool in one direction, as an optimiser walks along it: what an input gives, and how that changes nearby.

Near any input a pool is a Möbius map of what more is put in: `u` more gives `a*u / (1 + c*u)` more. `a` is the marginal
output, `c` how fast it falls. On a constant-product piece this is exact as far as the piece reaches; on other pools it
agrees in value, slope and curvature. Such maps compose: `a = a1*a2` and `c = c1 + a1*c2`. Floats, on purpose: exact
quotes settle what is found with them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple, Protocol

from dex.replicas.base import PoolReplica
from domain.errors import Refused


class Local(NamedTuple):
    """A curve around one input."""

    out: float
    marginal: float
    """`a`: output per unit of further input, fee included."""
    bend: float
    """`c`: `u` more input gives `a*u / (1 + c*u)` more output."""


class Curve(Protocol):
    """One direction of one pool."""

    def at(self, amount_in: float) -> Local | None:
        """Give the curve around an input; None when the pool cannot take so much."""

    def favoured(self, amount_in: int, reach: float) -> tuple[int, ...]:
        """Whole inputs near one that was found, of which the pool's rounding takes least.

        `reach` says how far it pays to go: moving by `reach * s` units costs half of what `s` of a unit gains for each.
        """


class PieceCurve:
    """A row of constant-product pieces, read from the replica only as far as somebody looks."""

    __slots__ = ("_end", "_fee_pips", "_gamma", "_more", "_outs", "_reserves_in", "_reserves_out", "_starts")

    def __init__(self, pool: PoolReplica, token_in: str, token_out: str) -> None:
        self._more = pool.pieces(token_in, token_out)
        self._gamma = pool.gamma_of(token_in)
        self._fee_pips = round((1 - self._gamma) * 1_000_000)
        self._starts: list[float] = []
        self._outs: list[float] = []
        self._reserves_in: list[float] = []
        self._reserves_out: list[float] = []
        self._end = 0.0

    def at(self, amount_in: float) -> Local | None:
        if amount_in >= self._end and not self._reach(amount_in):
            return None
        i = bisect_right(self._starts, amount_in) - 1
        gamma, reserve_in, reserve_out = self._gamma, self._reserves_in[i], self._reserves_out[i]
        effective = gamma * (amount_in - self._starts[i])
        here = reserve_in + effective
        bend = gamma / here
        return Local(self._outs[i] + reserve_out * effective / here, bend * reserve_out * reserve_in / here, bend)

    def favoured(self, amount_in: int, reach: float) -> tuple[int, ...]:
        # V3 rounds what is left of the last step's input after the fee down to a whole unit. Nothing is lost where the
        # fee is just below a whole number, which happens once in 1/fee units; on the way up to there each unit more
        # loses less by the fee. Each boundary that is reached rounds once more: ending before it may save that.
        if not self._fee_pips or (amount_in >= self._end and not self._reach(amount_in)):
            return (amount_in, amount_in + 1)
        at = bisect_right(self._starts, amount_in) - 1
        below, above = self._whole_fees(at, amount_in)
        between = amount_in + int(min(above - amount_in, reach * self._fee_pips / 1_000_000))
        found = [amount_in, amount_in + 1, below, between, above]
        end = self._starts[at + 1] if at + 1 < len(self._starts) else self._end
        if (end - amount_in) ** 2 < 2 * reach:
            found.append(int(end) - 1)
        if at and (amount_in - self._starts[at]) ** 2 < 2 * reach:
            before = int(self._starts[at]) - 1
            found += (before, self._whole_fees(at - 1, before)[0])
        return tuple(found)

    def _whole_fees(self, at: int, amount_in: int) -> tuple[int, int]:
        """Inputs at or below and above one, on the piece `at`, of which the fee is just below a whole number."""
        start = int(self._starts[at])
        fee = (amount_in - start) * self._fee_pips // 1_000_000
        return start + fee * 1_000_000 // self._fee_pips, start + (fee + 1) * 1_000_000 // self._fee_pips

    def _reach(self, amount_in: float) -> bool:
        while amount_in >= self._end:
            piece = next(self._more, None)
            if piece is None:
                return False
            self._starts.append(piece.in_before)
            self._outs.append(piece.out_before)
            self._reserves_in.append(piece.reserve_in)
            self._reserves_out.append(piece.reserve_out)
            self._end = piece.in_before + piece.in_size
        return True


class SmoothCurve:
    """A pool without pieces (stable, weighted): exact quotes for what comes out, marginal prices for its shape."""

    __slots__ = ("_pool", "_token_in", "_token_out")

    _NEARBY = 1e-4
    """How far the second look for the bend goes, as a share of the input."""

    def __init__(self, pool: PoolReplica, token_in: str, token_out: str) -> None:
        self._pool, self._token_in, self._token_out = pool, token_in, token_out

    def at(self, amount_in: float) -> Local | None:
        try:
            whole = int(amount_in)
            out = self._pool.quote_exact_in_down(self._token_in, whole, self._token_out) if whole else 0
            marginal = self._pool.marginal_price(self._token_in, self._token_out, whole)
            further = max(1, int(whole * self._NEARBY))
            beyond = self._pool.marginal_price(self._token_in, self._token_out, whole + further)
        except Refused as exc:
            if exc.rule != "pool_depth":
                raise
            return None
        if beyond <= 0:
            return None
        return Local(float(out), marginal, max(0.0, (math.sqrt(marginal / beyond) - 1) / further))

    def favoured(self, amount_in: int, reach: float) -> tuple[int, ...]:
        return (amount_in - 1, amount_in, amount_in + 1)


def curve_of(pool: PoolReplica, token_in: str, token_out: str) -> Curve:
    """Give a pool's curve in one direction, on its present state.

    Raises:
        Refused: The replica is stale.
    """
    if pool.has_pieces:
        return PieceCurve(pool, token_in, token_out)
    return SmoothCurve(pool, token_in, token_out)
