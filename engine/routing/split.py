"""The split of an order over routes that costs the least.

Without lots, least orders and fixed costs the problem is convex and a merge of all segments by price is its solution:
each next unit goes where it is cheapest (`_relax`). That ignores whole lots, so it costs no more than any real split:
a lower bound. Where the bound's split breaks a rule, two cases are made of it - a route left alone or used with at
least its least order; at most so many lots or at least one more - and the case with the lowest bound is looked at next
(branch and bound, Land & Doig 1960). When no case has a bound below the best split found, that split is the best. A
search that runs out of `nodes_max` gives the best it has, with the bound that says how far off it may be.

What cannot or should not be executed stays: each unit left costs `reserve`. A limit price is that price; an order that
must be filled leaves nothing that fits anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, NamedTuple

from engine.routing.route import Route

NODES_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Allocation:
    """A split: units for each route, in the order of the routes."""

    units: tuple[int, ...]
    unfilled: int
    cost: int
    """All in, the unfilled at its reserve included."""
    bound: int
    """No split costs less."""
    nodes: int

    @property
    def is_proven(self) -> bool:
        return self.cost == self.bound


class _Node(NamedTuple):
    low: tuple[int, ...]
    high: tuple[int, ...]
    is_used: tuple[bool, ...]
    """Whether a route's fixed cost is paid and its least order is in `low`."""


class _Segment(NamedTuple):
    price: int
    lot_negative: int
    """At one price coarse lots come first: fine ones can take up what is left."""
    route: int
    start: int
    end: int


def split(
    routes: Sequence[Route],
    units: int,
    *,
    reserve: int | None = None,
    tolerance: int = 0,
    nodes_max: int = NODES_MAX,
) -> Allocation:
    """Find the cheapest split of so many units.

    Args:
        routes: Where it may go, all for the same side.
        units: How many units, not negative.
        reserve: What leaving one unit costs. None: the order must be filled as far as it can be. (To fill the last
            units with lots that do not divide one another is a search of its own: give a price where there is one.)
        tolerance: Stop when the split found costs no more than this above the bound.
        nodes_max: Look at no more cases than this.
    """
    price = _fill_at_any(routes, units) if reserve is None else reserve
    search = _Search(routes, units, price)
    return search.run(tolerance, nodes_max)


def best_single(routes: Sequence[Route], units: int, *, reserve: int | None = None) -> tuple[int, Allocation]:
    """Find the one route that costs least for the whole order; what it cannot take is left at the reserve.

    Without a reserve that price is the one `split` uses for the same routes, so that the two compare.
    """
    price = _fill_at_any(routes, units) if reserve is None else reserve
    found = [(split([route], units, reserve=price), at) for at, route in enumerate(routes)]
    best, at = min(found, key=lambda pair: (pair[0].cost, pair[1]))
    return at, best


def _fill_at_any(routes: Sequence[Route], units: int) -> int:
    """A price at which leaving one unit costs more than any two splits can differ by."""
    worst = max((abs(price) for route in routes for price in (*route.prices[:1], *route.prices[-1:])), default=0)
    return 2 * worst * units + sum(route.fixed for route in routes) + 1


class _Search:
    def __init__(self, routes: Sequence[Route], units: int, reserve: int) -> None:
        self._routes, self._units, self._reserve = routes, max(units, 0), reserve
        self._segments = sorted(
            _Segment(price, -route.lot, at, start, end)
            for at, route in enumerate(routes)
            for price, start, end in zip(route.prices, (0, *route.ends), route.ends, strict=False)
            # A unit that costs as much as leaving it is executed.
            if price <= reserve
        )
        self.best: tuple[int, ...] = (0,) * len(routes)
        self.cost = self._units * reserve

    def run(self, tolerance: int, nodes_max: int) -> Allocation:
        routes = self._routes
        high = tuple(min(route.capacity, self._units // route.lot * route.lot) for route in routes)
        high = tuple(0 if most < route.least else most for most, route in zip(high, routes, strict=True))
        root = _Node((0,) * len(routes), high, (False,) * len(routes))
        heap: list[tuple[int, int, _Node, tuple[int, ...]]] = []
        made, nodes, bound = 0, 0, self.cost

        def push(node: _Node) -> None:
            nonlocal made
            relaxed = self._relax(node)
            if relaxed is not None and relaxed[0] < self.cost:
                heappush(heap, (relaxed[0], made, node, relaxed[1]))
                made += 1

        push(root)
        while heap:
            bound, _, node, found = heappop(heap)
            if bound >= self.cost - tolerance or nodes >= nodes_max:
                break
            nodes += 1
            self._offer(found, node)
            for child in self._branch(node, found):
                push(child)
        else:
            bound = self.cost
        filled = sum(self.best)
        return Allocation(self.best, self._units - filled, self.cost, min(bound, self.cost), nodes)

    def _relax(self, node: _Node) -> tuple[int, tuple[int, ...]] | None:
        """The cheapest split within a case's bounds, whole lots and undecided fixed costs ignored; None if empty."""
        low, high, found = node.low, node.high, list(node.low)
        rest = self._units - sum(low)
        if rest < 0 or any(least > most for least, most in zip(low, high, strict=True)):
            return None
        cost = 0
        for route, units, is_used in zip(self._routes, low, node.is_used, strict=True):
            cost += route.cost(units) + (route.fixed if is_used else 0)
        for price, _, at, start, end in self._segments:
            if not rest:
                break
            take = min(end, high[at]) - max(start, low[at])
            if take > 0:
                take = min(take, rest)
                found[at] += take
                rest -= take
                cost += take * price
        return cost + rest * self._reserve, tuple(found)

    def _branch(self, node: _Node, found: tuple[int, ...]) -> list[_Node]:
        """Two cases that leave out what breaks a rule in a bound's split, and no real split."""
        for at, (route, units) in enumerate(zip(self._routes, found, strict=True)):
            if units and not node.is_used[at] and (route.fixed or units < route.least):
                without = _Node(node.low, _with(node.high, at, 0), node.is_used)
                used = _Node(_with(node.low, at, route.least), node.high, _set(node.is_used, at))
                return [without, used]
        for at, (route, units) in enumerate(zip(self._routes, found, strict=True)):
            over = units % route.lot
            if over:
                down = units - over
                fewer = _Node(node.low, _with(node.high, at, down), node.is_used)
                return [fewer, _Node(_with(node.low, at, down + route.lot), node.high, node.is_used)]
        return []

    def _offer(self, found: tuple[int, ...], node: _Node) -> None:
        """Make a real split near a bound's, and keep it if it is the best so far."""
        units = [count // route.lot * route.lot for route, count in zip(self._routes, found, strict=True)]
        rest = self._units - sum(units)
        for _, _, at, start, end in self._segments:
            lot, have = self._routes[at].lot, units[at]
            if rest >= lot and start <= have < end and have:
                more = min(min(end, node.high[at]) - have, rest) // lot * lot
                if more > 0:
                    units[at] += more
                    rest -= more
        for at, route in enumerate(self._routes):
            # What is below the least order, or does not earn its fixed cost, stays.
            if 0 < units[at] < route.least or (units[at] and route.total(units[at]) > units[at] * self._reserve):
                rest += units[at]
                units[at] = 0
        cost = rest * self._reserve + sum(route.total(count) for route, count in zip(self._routes, units, strict=True))
        if cost < self.cost:
            self.best, self.cost = tuple(units), cost


def _with(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _set(flags: tuple[bool, ...], at: int) -> tuple[bool, ...]:
    return (*flags[:at], True, *flags[at + 1 :])
