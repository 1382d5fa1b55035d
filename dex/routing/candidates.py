"""Which pools can be part of the best flow at all, decided by a bound that never drops one that is.

The price of the first unit is the best a pool ever gives. If the best chain of such prices through a pool is worse than
what the last unit of the best single path brings, no optimal flow touches the pool. The same bound says how far into
each pool an optimum can reach, so optimisers see a few pieces of a few pools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dex.routing.curves import SPARE_IN, SPARE_OUT, Curve, edge_curve
from dex.routing.market import Edge, Market
from dex.routing.paths import Found

_SLACK: Final = 1 - 1e-9
"""Prices are floats: what is within this of the bound stays."""
_WAITING_DEPTH: Final = 1e7


@dataclass(frozen=True, slots=True, eq=False)
class Arc:
    """One direction through a pool at its place in a route, or (without an edge) a token that waits for the last hop.

    Routes have at most three hops, so a token between is one that the first hop gave (`…@1`) or one that the last hop
    takes (`…@2`). First hops lead from the source to `@1`, middle ones from `@1` to `@2`, last ones from `@2` to the
    target: each pool and direction has one place, and no cycle exists. A token with no need for two nodes has one.
    """

    edge: Edge | None
    tail: str
    head: str
    curve: Curve

    @property
    def is_pool(self) -> bool:
        return self.edge is not None


def candidates(
    market: Market,
    source: str,
    target: str,
    total: float,
    *,
    max_hops: int,
    single: Found | None,
    is_exact_out: bool = False,
    is_uniform: bool = False,
) -> list[Arc]:
    """Find the arcs an optimal flow of `total` from source to target may use, each as far as it may matter.

    Args:
        market: Where to look.
        source: The token given.
        target: The token wanted.
        total: How much of `source`.
        max_hops: How long paths may be.
        single: The best single path; None where no path takes the whole.
        is_exact_out: Whether it will be an output that is exact.
        is_uniform: Whether all pools of a path must be of one kind: then a token waits in a place for each kind.
    """
    floor = last_unit_price(single) * _SLACK if single is not None else 0.0
    to_all = market.rates(source, max_hops, is_forward=True)
    from_all = market.rates(target, max_hops, is_forward=False)
    found: list[tuple[Edge, Curve]] = []
    for edge in market.edges:
        if edge.target == source or edge.source == target:
            continue
        around = 0.0
        for before in _hops_before(edge, source, target, max_hops):
            after = 0 if edge.target == target else max_hops - 1 - before
            around = max(around, to_all[before].get(edge.source, 0.0) * from_all[after].get(edge.target, 0.0))
        if around * market.first_price(edge) > floor:
            reach = total * to_all[max_hops - 1].get(edge.source, 0.0)
            curve = edge_curve(edge, reach, floor / around, spare=SPARE_OUT if is_exact_out else SPARE_IN)
            if curve.size:
                found.append((edge, curve))
    return _placed(found, source, target, total, to_all[-1], is_uniform=is_uniform)


def _hops_before(edge: Edge, source: str, target: str, max_hops: int) -> Sequence[int]:
    """How many hops may come before an edge: none at the source, one in the middle, any at the end."""
    if edge.source == source:
        return (0,)
    return range(1, max_hops) if edge.target == target else range(1, max_hops - 1)


def _placed(
    found: Sequence[tuple[Edge, Curve]],
    source: str,
    target: str,
    total: float,
    reach: dict[str, float],
    *,
    is_uniform: bool,
) -> list[Arc]:
    def place(token: str, edge: Edge) -> tuple[str, str]:
        return token, edge.pool.kind if is_uniform else ""

    ends = (source, target)
    middle = [edge for edge, _ in found if edge.source not in ends and edge.target not in ends]
    twofold = {place(edge.source, edge) for edge in middle} & {place(edge.target, edge) for edge in middle}
    arcs = []
    for edge, curve in found:
        begin, finish = place(edge.source, edge), place(edge.target, edge)
        waits_before = begin in twofold and edge.target == target
        waits_after = finish in twofold and edge.source != source
        tail = edge.source if edge.source in ends else _node(begin, is_last=waits_before)
        head = edge.target if edge.target in ends else _node(finish, is_last=waits_after)
        arcs.append(Arc(edge, tail, head, curve))
    for token in twofold:
        # Waiting costs next to nothing: a pool ten million times deeper than what can come by.
        depth = _WAITING_DEPTH * total * max(reach.get(token[0], 0.0), 1e-300)
        curve = Curve()
        curve.add(depth, depth, math.inf)
        arcs.append(Arc(None, _node(token, is_last=False), _node(token, is_last=True), curve))
    return arcs


def _node(place: tuple[str, str], *, is_last: bool) -> str:
    token, kind = place
    return f"{token}@{2 if is_last else 1}{kind}"


def last_unit_price(path: Found) -> float:
    """Give what one more unit into a path would bring, in its last token per first."""
    price = 1.0
    for edge, amount in zip(path.edges, path.amounts, strict=False):
        price *= edge.replica.marginal_price(edge.token_in.id, edge.token_out.id, amount)
    return price


def best_rate(market: Market, source: str, target: str, max_hops: int) -> float:
    """Give the best chain of first-unit prices from one token to another; 0 when there is none."""
    return market.rates(target, max_hops, is_forward=False)[-1].get(source, 0.0)
