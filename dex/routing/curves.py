"""What optimisers see of a pool in one direction: a concave curve made of constant-product pieces, in floats.

Fees are inside: beyond `in_before`, an input `u` gives `out_before + r_out * u / (r_in + u)` and the marginal price is
`r_in * r_out / (r_in + u)**2`. Pieces of one curve follow each other with falling prices. Three things follow:

- pools side by side, all drawn on down to one marginal price λ, take `sqrt(r_in * r_out / λ) - r_in` per piece: linear
  in 1/sqrt(λ), so how to split an amount over any number of pools is found by one sort and one sweep, exactly;
- one piece after another is such a piece again: a path over several pools is a curve;
- pools that are no constant product (stable, weighted) are such pieces too, fitted through exact quotes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from dex.routing.market import Edge
from domain.errors import Refused

_PIECES_MAX: Final = 4096
SPARE_IN: Final = 1e-5
SPARE_OUT: Final = 1e-3
"""For exact outputs: where a following pool is all but empty, one unit more of it takes many of the former."""
_LAST_UNITS: Final = 32.0
_SHRINKINGS_MAX: Final = 40
_FITTED: Final = (0.0, 1 / 256, 1 / 64, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0)
"""Where a pool without pieces is quoted, as shares of the amount in question."""


class Curve:
    """Pieces in columns. Immutable once built."""

    __slots__ = ("in_before", "out_before", "r_in", "r_out", "size")

    def __init__(self) -> None:
        self.in_before: list[float] = []
        self.out_before: list[float] = []
        self.r_in: list[float] = []
        self.r_out: list[float] = []
        self.size: list[float] = []
        """How much input fits into each piece; may be infinite in the last."""

    def add(self, r_in: float, r_out: float, size: float) -> None:
        """Append a piece behind the last one."""
        self.in_before.append(self.capacity)
        self.out_before.append(self.out_at_end)
        self.r_in.append(r_in)
        self.r_out.append(r_out)
        self.size.append(size)

    @property
    def capacity(self) -> float:
        """All the input it takes."""
        return self.in_before[-1] + self.size[-1] if self.size else 0.0

    @property
    def out_at_end(self) -> float:
        """All the output there is."""
        return self.out_before[-1] + _out(self.r_in[-1], self.r_out[-1], self.size[-1]) if self.size else 0.0

    @property
    def first_price(self) -> float:
        """Output per input of the first unit, fee included; 0 when there is nothing."""
        return self.r_out[0] / self.r_in[0] if self.size else 0.0

    def out_at(self, amount_in: float) -> float:
        """Give the output of an input, at most all there is."""
        if amount_in <= 0 or not self.size:
            return 0.0
        i = bisect_right(self.in_before, amount_in) - 1
        return self.out_before[i] + _out(self.r_in[i], self.r_out[i], min(amount_in - self.in_before[i], self.size[i]))

    def in_for(self, amount_out: float) -> float:
        """Give the input an output takes; infinite beyond all there is."""
        if amount_out <= 0:
            return 0.0
        if amount_out > self.out_at_end:
            return math.inf
        i = bisect_right(self.out_before, amount_out) - 1
        rest = amount_out - self.out_before[i]
        if rest >= self.r_out[i]:  # All of a piece without end.
            return math.inf
        return self.in_before[i] + min(self.r_in[i] * rest / (self.r_out[i] - rest), self.size[i])

    def price_at(self, amount_in: float) -> float:
        """Give the marginal price after an input; 0 where nothing is left."""
        if not self.size or amount_in >= self.capacity:
            return 0.0
        i = bisect_right(self.in_before, max(amount_in, 0.0)) - 1
        return self.r_in[i] * self.r_out[i] / (self.r_in[i] + amount_in - self.in_before[i]) ** 2

    def reaction_at(self, amount_in: float) -> float:
        """Give how much more is drawn when the marginal price falls by a given share, after an input."""
        if not self.size or not 0 < amount_in < self.capacity:
            return 0.0
        i = bisect_right(self.in_before, amount_in) - 1
        return (self.r_in[i] + amount_in - self.in_before[i]) / 2


def edge_curve(edge: Edge, amount_max: float, price_min: float = 0.0, *, spare: float = SPARE_IN) -> Curve:
    """Build the curve of a pool's direction, as far as an amount and a marginal price reach.

    Of a pool that ends before that, a share of `spare` is left: its very last units are refused, for rounding.
    """
    if not edge.replica.has_pieces:
        return _quoted_curve(edge, amount_max)
    curve, gamma = Curve(), edge.replica.gamma_of(edge.token_in.id)
    for piece in edge.replica.pieces(edge.token_in.id, edge.token_out.id):
        r_in = piece.reserve_in / gamma
        if piece.in_before >= amount_max or piece.reserve_out < price_min * r_in or len(curve.size) == _PIECES_MAX:
            break
        # Not the replica's own sums, which are of whole units: both ways to read a curve have to agree.
        curve.add(r_in, piece.reserve_out, piece.in_size)
    else:
        if curve.size and curve.size[-1] < math.inf:
            curve.size[-1] -= min(max(curve.capacity * spare, _LAST_UNITS), curve.size[-1] / 2)
    return curve


def _quoted_curve(edge: Edge, amount_max: float) -> Curve:
    """Lay a curve through exact quotes, as far as the pool goes."""
    if math.isinf(amount_max):
        return Curve()
    for _ in range(_SHRINKINGS_MAX):
        try:
            whole = [int(amount_max * share) for share in _FITTED]
            points = [(float(x), float(edge.quote_in(x)) if x else 0.0) for x in whole]
            slopes = [edge.replica.marginal_price(edge.token_in.id, edge.token_out.id, x) for x in whole]
        except Refused:
            amount_max /= 2
            continue
        return fitted_curve(points, slopes)
    return Curve()


def fitted_curve(points: Sequence[tuple[float, float]], prices: Sequence[float]) -> Curve:
    """Lay constant-product pieces through (input, output) points of a concave function with the given slopes there.

    Each piece has the function's slope where it begins and its value where it ends.
    """
    curve = Curve()
    for ((x0, y0), (x1, y1)), slope in zip(pairwise(points), prices, strict=False):
        width, rise = x1 - x0, y1 - y0
        if width <= 0 or rise <= 0:
            break
        # A secant as steep as the tangent is a straight line: a pool so deep that its end does not show.
        bend = max(slope * width - rise, rise * 1e-12)
        r_in = rise * width / bend
        curve.add(r_in, rise * (r_in + width) / width, width)
    return curve


def path_curve(curves: Sequence[Curve]) -> Curve:
    """Join curves one after another into the curve of the whole path."""
    whole = curves[0]
    for following in curves[1:]:
        whole = _then(whole, following)
    return whole


def _then(first: Curve, second: Curve) -> Curve:
    joined = Curve()
    i = j = 0
    used_i = used_j = 0.0  # Input taken from the current piece of each.
    while i < len(first.size) and j < len(second.size):
        a_in, a_out, a_left = _shifted(first, i, used_i)
        b_in, b_out, b_left = _shifted(second, j, used_j)
        gives = _out(a_in, a_out, a_left)
        if gives <= b_left:
            step, passed = a_left, gives
        else:
            step, passed = a_in * b_left / (a_out - b_left), b_left
        if step > 0:
            joined.add(a_in * b_in / (b_in + a_out), a_out * b_out / (b_in + a_out), step)
        if gives <= b_left:
            i, used_i, used_j = i + 1, 0.0, used_j + passed
            if used_j >= second.size[j]:
                j, used_j = j + 1, 0.0
        else:
            j, used_j, used_i = j + 1, 0.0, used_i + step
    return joined


def _shifted(curve: Curve, i: int, used: float) -> tuple[float, float, float]:
    """Give what is left of a piece after an input, as a piece of its own."""
    r_in = curve.r_in[i]
    return r_in + used, curve.r_out[i] * r_in / (r_in + used), curve.size[i] - used


def split_in(curves: Sequence[Curve], total: float) -> tuple[list[float], float]:
    """Split an input over curves side by side so that all end at one marginal price; give the inputs and that price.

    What exceeds all capacity is left over; the price is then 0.
    """
    root = _level(curves, total, is_out=False)
    if math.isinf(root):
        return [curve.capacity for curve in curves], 0.0
    inputs = [_drawn(curve, root) for curve in curves]
    return inputs, 1 / (root * root) if root else math.inf


def split_out(curves: Sequence[Curve], total: float) -> tuple[list[float], float]:
    """Split an output over curves side by side at the least input; give the outputs and the marginal price."""
    root = _level(curves, total, is_out=True)
    if math.isinf(root):
        return [curve.out_at_end for curve in curves], 0.0
    return [curve.out_at(_drawn(curve, root)) for curve in curves], 1 / (root * root) if root else math.inf


def _level(curves: Sequence[Curve], total: float, *, is_out: bool) -> float:
    """Find 1/sqrt(λ) at which the curves together take (or give) the total; infinite when they cannot."""
    events: list[tuple[float, float, float, float]] = []  # Where, change of K, of reserves, of what is complete.
    for curve in curves:
        for r_in, r_out, size in zip(curve.r_in, curve.r_out, curve.size, strict=True):
            k = math.sqrt(r_in * r_out)
            reserve = r_out if is_out else r_in
            events.append((r_in / k, k, reserve, 0.0))
            if size < math.inf:
                events.append(((r_in + size) / k, -k, -reserve, _out(r_in, r_out, size) if is_out else size))
    events.sort()
    slope = reserves = complete = 0.0
    for index, (_, dk, dr, dc) in enumerate(events):
        slope, reserves, complete = slope + dk, reserves + dr, complete + dc
        upper = events[index + 1][0] if index + 1 < len(events) else math.inf
        if is_out:  # Output of a piece: r_out - K / root.
            missing = complete + reserves - total
            root = slope / missing if missing > 0 and slope > 0 else math.inf
            reached = complete + reserves - slope / upper if upper < math.inf else complete + reserves
        else:  # Input of a piece: K * root - r_in.
            root = (total - complete + reserves) / slope if slope > 0 else math.inf
            reached = complete + slope * upper - reserves if upper < math.inf else math.inf
        if reached >= total and root <= upper:
            return max(root, events[index][0])
    return math.inf


def _drawn(curve: Curve, root: float) -> float:
    """Give what a curve takes when drawn on down to a marginal price of 1/root²."""
    taken = 0.0
    for r_in, r_out, size in zip(curve.r_in, curve.r_out, curve.size, strict=True):
        u = math.sqrt(r_in * r_out) * root - r_in
        if u <= 0:
            break
        taken += min(u, size)
    return taken


def _out(r_in: float, r_out: float, amount: float) -> float:
    return r_out if math.isinf(amount) else r_out * amount / (r_in + amount)
