"""From places to a split: makes routes of pools, splits, looks at the pools again where the split put them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.routing.places import PoolPlace, pool_route
from engine.routing.route import Route
from engine.routing.split import NODES_MAX, Allocation, best_single, split


@dataclass(frozen=True, slots=True)
class Routed:
    """A split with the routes it is over."""

    routes: tuple[Route, ...]
    allocation: Allocation
    single: Allocation
    """The best that one route alone does, on the same routes."""
    single_route: int

    @property
    def saved(self) -> int:
        """What the split costs less than the best single route; never negative."""
        return self.single.cost - self.allocation.cost


def route_order(
    places: Sequence[Route | PoolPlace],
    units: int,
    *,
    reserve: int | None = None,
    tolerance: int = 0,
    nodes_max: int = NODES_MAX,
) -> Routed:
    """Split an order over places, each a route or a pool. The arguments are those of `split`.

    The best single route is among the splits that are compared, so the answer is never worse than it, whatever the
    search had time for.
    """
    routes = _routes(places, units, (None,) * len(places))
    if any(isinstance(place, PoolPlace) for place in places):
        first = split(routes, units, reserve=reserve, tolerance=tolerance, nodes_max=nodes_max)
        routes = _routes(places, units, first.units)
    found = split(routes, units, reserve=reserve, tolerance=tolerance, nodes_max=nodes_max)
    at, single = best_single(routes, units, reserve=reserve)
    if single.cost < found.cost:
        alone = tuple(single.units[0] if place == at else 0 for place in range(len(routes)))
        found = Allocation(alone, single.unfilled, single.cost, found.bound, found.nodes)
    return Routed(routes, found, single, at)


def _routes(places: Sequence[Route | PoolPlace], units: int, around: Sequence[int | None]) -> tuple[Route, ...]:
    return tuple(
        pool_route(place, units, around=near) if isinstance(place, PoolPlace) else place
        for place, near in zip(places, around, strict=True)
    )
