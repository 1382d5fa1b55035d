"""The last units of a split, where one matters: of few raw units, as of a dear token of six decimals.

V3 rounds its fee up to a whole unit, so of a few hundred neighbouring inputs one loses nothing to rounding. Paths of
one hop are moved to such inputs near their own, another path takes the difference, and what gives more is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dex.routing.curves import edge_curve
from dex.routing.market import Edge
from dex.routing.paths import Found
from domain.errors import InputError, Refused

MATTERS_BELOW: Final = 10**8
"""Raw units of input. Above, a unit is less than a hundred-millionth of the whole."""
_PIPS: Final = 1_000_000
_PASSES_MAX: Final = 4


def refined(paths: list[Found]) -> list[Found]:
    """Give a split of the same input that gives as much or more; as it was where nothing can be moved."""
    total = sum(path.amounts[0] for path in paths)
    pools = {edge.pool.id for path in paths for edge in path.edges}
    if total >= MATTERS_BELOW or len(pools) < 2 or len(pools) != len(paths) or any(len(p.edges) > 1 for p in paths):
        return paths
    edges = [path.edges[0] for path in paths]
    amounts = [path.amounts[0] for path in paths]
    gives = [path.amounts[-1] for path in paths]
    for _ in range(_PASSES_MAX):
        before = sum(gives)
        for i in range(len(edges)):
            for j in range(len(edges)):
                if i != j:
                    _move(edges, amounts, gives, i, j)
        if sum(gives) == before:
            break
    return [Found(path.edges, (x, y)) for path, x, y in zip(paths, amounts, gives, strict=True)]


def _move(edges: Sequence[Edge], amounts: list[int], gives: list[int], i: int, j: int) -> None:
    """Set path i to an input its fee rounds well at, path j taking the difference, where the two then give more."""
    both = amounts[i] + amounts[j]
    for wanted in _favoured(edges[i], amounts[i]):
        if not 0 < wanted < both:
            continue
        try:
            out_i, out_j = edges[i].quote_in(wanted), edges[j].quote_in(both - wanted)
        except (Refused, InputError):
            continue
        if out_i + out_j > gives[i] + gives[j]:
            amounts[i], amounts[j], gives[i], gives[j] = wanted, both - wanted, out_i, out_j


def _favoured(edge: Edge, amount: int) -> Iterator[int]:
    """Give the nearest inputs, below and above, whose fee is just short of a whole unit; and the next units."""
    yield from (amount - 1, amount + 1)
    fee = round((1 - edge.replica.gamma_of(edge.token_in.id)) * _PIPS)
    if edge.pool.kind not in ("v3", "v4") or not fee:
        return
    curve = edge_curve(edge, amount)
    start = int(curve.in_before[-1])  # The fee is rounded on what the last step takes.
    whole = (amount - start) * fee // _PIPS
    yield from (start + units * _PIPS // fee for units in (whole, whole + 1))
