"""Which pools are worth their gas. Each pool that is used costs a fixed sum, whatever flows through it.

Without a pool at least its surplus is lost (`network`). So where pools stand side by side, what earns more than its gas
stays, and of the others every combination is tried, if they are few. Many, or a network, are first thinned out by what
is about lost without each, the worst first; what is left is tried without each of its doubtful pools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from dex.routing.candidates import Arc
from dex.routing.network import Flow, best_flow, is_parallel

EXACT_MAX: Final = 6
"""Doubtful pools of which every combination is tried: 64 splits of about 50 microseconds each."""
_TRIES_MAX: Final = 12
_NEIGHBOURS: Final = 3
_DOUBT: Final = 2.0
"""A pool whose estimated loss is more than so many times its gas is not tried to be left out."""
_USED: Final = 1e-9
"""Share of a token's whole flow below which a pool counts as unused."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of the candidates, with the best flow through them."""

    chosen: tuple[int, ...]
    """Places among the candidates."""
    flow: Flow
    """Its columns are those of `chosen`."""
    net: float
    """Output less the gas of the pools that are used."""

    @property
    def used(self) -> tuple[int, ...]:
        """Places among the candidates of the pools through which something flows."""
        return tuple(i for i, amount in zip(self.chosen, self.flow.inputs, strict=True) if amount > 0)


def select(
    arcs: Sequence[Arc], source: str, target: str, total: float, costs: Sequence[float], *, floor: float = 0.0
) -> Selection:
    """Choose the pools that give most after gas, and the flow through them.

    Args:
        arcs: The candidates.
        source: The token given.
        target: The token wanted.
        total: How much of `source`.
        costs: What each candidate's use costs, in the wanted token.
        floor: What the last unit brings at least, where that is known: a price to begin with.
    """
    begin = {source: floor} if floor else None

    def solve(chosen: Sequence[int], before: Selection | None = None) -> Selection:
        prices = begin if before is None else before.flow.prices
        return _solve(arcs, source, target, total, costs, tuple(chosen), prices)

    best = current = solve(range(len(arcs)))
    if not any(costs):
        return best
    is_simple = is_parallel(arcs, source, target)
    while True:
        surplus = dict(zip(current.chosen, current.flow.surplus, strict=True))
        doubtful = [i for i in current.chosen if surplus[i] < costs[i]]
        if is_simple and len(doubtful) <= EXACT_MAX:
            return _every_combination(current, doubtful, best, solve)
        loss = dict(zip(current.chosen, current.flow.loss, strict=True))
        droppable = sorted((i for i in current.used if loss[i] < costs[i]), key=lambda i: loss[i] - costs[i])
        dropped = set(droppable[: max(1, len(droppable) // 2)])
        remaining = [i for i in current.used if i not in dropped]
        if not remaining or (not dropped and len(remaining) == len(current.chosen)):
            break
        current = solve(remaining, current)
        best = max(best, current, key=lambda selection: selection.net)
    return _without_each(best, costs, solve)


def _every_combination(
    current: Selection, doubtful: Sequence[int], best: Selection, solve: Callable[..., Selection]
) -> Selection:
    certain = [i for i in current.chosen if i not in set(doubtful)]
    for size in range(len(doubtful)):
        for kept in combinations(doubtful, size):
            if certain or kept:
                best = max(best, solve([*certain, *kept]), key=lambda selection: selection.net)
    return best


def _without_each(best: Selection, costs: Sequence[float], solve: Callable[..., Selection]) -> Selection:
    """Leave out one pool after the other, for as long as that pays."""
    tries = 0
    while tries < _TRIES_MAX:
        before, used = best, best.used
        loss = dict(zip(best.chosen, best.flow.loss, strict=True))
        for i in sorted(used, key=lambda i: loss[i] - costs[i])[:_NEIGHBOURS]:
            if loss[i] > _DOUBT * costs[i] or len(used) == 1:
                break
            tries += 1
            tried = solve([j for j in used if j != i], before)
            best = max(best, tried, key=lambda selection: selection.net)
        if best is before:
            break
    return best


def _solve(
    arcs: Sequence[Arc],
    source: str,
    target: str,
    total: float,
    costs: Sequence[float],
    chosen: tuple[int, ...],
    start: Mapping[str, float] | None,
) -> Selection:
    taken = [arcs[i] for i in chosen]
    flow = best_flow(taken, source, target, total, start)
    passing: dict[str, float] = {}
    for arc, amount in zip(taken, flow.inputs, strict=True):
        passing[arc.tail] = passing.get(arc.tail, 0.0) + amount
    inputs = [
        amount if amount > _USED * passing[arc.tail] else 0.0 for arc, amount in zip(taken, flow.inputs, strict=True)
    ]
    value = sum(arc.curve.out_at(amount) for arc, amount in zip(taken, inputs, strict=True) if arc.head == target)
    spent = sum(costs[i] for i, amount in zip(chosen, inputs, strict=True) if amount > 0)
    # What the pools cannot take is a loss that no gas makes good.
    is_short = passing.get(source, 0.0) < total * (1 - 1e-6)
    kept = replace(flow, inputs=inputs)
    return Selection(chosen, kept, float("-inf") if is_short else value - spent)
