"""What a route costs to carry out: execution gas, and on rollups the fee for posting its bytes.

The units are averages of swaps through the UniversalRouter on the genuine contracts, within a quarter of what single
routes took (docs/routing.md): enough to decide which pools are worth their gas. What is signed gets its limit from a
simulation of the very transaction.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from dex.routing.curves import edge_curve
from dex.routing.market import Edge
from dex.routing.paths import Found

BASE_UNITS: Final = 60_000
"""A transaction through a router before its first swap: 21,000, its bytes, the permit, taking tokens, paying out."""
PATH_UNITS: Final = 15_000
"""A further path: one more command, one more transfer in."""
HOP_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "v2": 85_000,
        "v3": 72_000,
        "v4": 72_000,
        "curve-stable": 105_000,
        "balancer-stable": 90_000,
        "balancer-weighted": 85_000,
    }
)
TICK_UNITS: Final = 25_000
"""An initialised tick that is crossed: its fee accumulators are rewritten."""
BASE_BYTES: Final = 420
PATH_BYTES: Final = 260
HOP_BYTES: Final = 64
"""Bytes of calldata, signature included, that a rollup posts."""
_SAME_DEPTH: Final = 1e-9
_UNKNOWN_UNITS: Final = 120_000


@dataclass(frozen=True, slots=True)
class GasTerms:
    """What gas costs at the moment, in wei of the chain's coin. All zero: free, nothing is dropped for it."""

    unit_wei: int = 0
    """Of one unit of execution gas: base fee and tip."""
    byte_wei: int = 0
    """Of one byte posted to another chain; zero where there is none."""

    @property
    def is_due(self) -> bool:
        """Whether anything is charged at all."""
        return self.unit_wei > 0 or self.byte_wei > 0


class TickCounter:
    """Counts the initialised ticks a swap crosses, on the state a market was read at."""

    def __init__(self) -> None:
        self._marks: dict[Edge, tuple[float, list[float]]] = {}

    def count(self, edge: Edge, amount_in: int) -> int:
        """Count changes of liquidity on the way: edges of the bitmap's words are boundaries too, but cost little."""
        if edge.pool.kind not in ("v3", "v4"):
            return 0
        reach, marks = self._marks.get(edge, (0.0, []))
        if amount_in > reach:
            reach = 2.0 * amount_in
            curve = edge_curve(edge, reach)
            depths = [math.sqrt(r_in * r_out) for r_in, r_out in zip(curve.r_in, curve.r_out, strict=True)]
            marks = [
                curve.in_before[i + 1] for i, (a, b) in enumerate(pairwise(depths)) if abs(a - b) > _SAME_DEPTH * a
            ]
            self._marks[edge] = reach, marks
        return bisect_left(marks, amount_in)


@dataclass(frozen=True, slots=True)
class GasPrice:
    """Gas in the token that a quote counts its cost in."""

    terms: GasTerms = field(default_factory=GasTerms)
    token_per_wei: float = 0.0
    """Raw units of that token for one wei of the coin."""

    def of_edge(self, edge: Edge) -> float:
        """Give what using a pool costs: its swap and the bytes that name it. Ticks are not counted before the amount
        is known."""
        units = HOP_UNITS.get(edge.pool.kind, _UNKNOWN_UNITS) + PATH_UNITS
        wei = units * self.terms.unit_wei + (HOP_BYTES + PATH_BYTES) * self.terms.byte_wei
        return wei * self.token_per_wei

    def of_paths(self, paths: Sequence[Found], ticks: TickCounter) -> tuple[int, int]:
        """Give a whole route's gas units and what they cost in raw units of the token, rounded up."""
        crossed = sum(ticks.count(e, a) for path in paths for e, a in zip(path.edges, path.amounts, strict=False))
        return self.of_hops([[edge.pool.kind for edge in path.edges] for path in paths], crossed)

    def of_hops(self, paths: Sequence[Sequence[str]], ticks: int = 0) -> tuple[int, int]:
        """Give the gas of paths that are known by the kinds of their pools, likewise."""
        kinds = [kind for path in paths for kind in path]
        units = BASE_UNITS + PATH_UNITS * (len(paths) - 1) + TICK_UNITS * ticks
        units += sum(HOP_UNITS.get(kind, _UNKNOWN_UNITS) for kind in kinds)
        size = BASE_BYTES + PATH_BYTES * (len(paths) - 1) + HOP_BYTES * len(kinds)
        wei = units * self.terms.unit_wei + size * self.terms.byte_wei
        return units, math.ceil(wei * self.token_per_wei)
