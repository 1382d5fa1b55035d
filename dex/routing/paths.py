"""The best single path, found on exact quotes: for each number of hops the most of every token that can be had.

More input gives more output, so extending the best amounts hop by hop finds the best path; unless the best way to a
token uses what comes next itself, or brings more than the next pool can take. So a few ways to each token are kept,
and the tests compare with every path there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from dex.routing.market import Edge, Market
from domain.errors import InputError, Refused

MAX_HOPS: Final = 3
_WAYS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A path with its exact amounts: `amounts[i]` enters edge i, the last one comes out."""

    edges: tuple[Edge, ...]
    amounts: tuple[int, ...]


def best_path_in(market: Market, source: str, target: str, amount_in: int, *, max_hops: int = MAX_HOPS) -> Found | None:
    """Find the path that gives most for an input; None when no path takes all of it."""

    def quote(edge: Edge, amount: int) -> int:
        return edge.quote_in(amount)

    return _best(market.outgoing, quote, source, target, amount_in, max_hops)


def best_path_out(
    market: Market,
    source: str,
    target: str,
    amount_out: int,
    *,
    max_hops: int = MAX_HOPS,
    kind: str = "",
) -> Found | None:
    """Find the path on which an output costs least; None when no path gives it. `kind` leaves others' pools out."""
    incoming: dict[str, list[Edge]] = {}
    for edge in market.edges:
        if not kind or edge.pool.kind == kind:
            incoming.setdefault(edge.target, []).append(edge)

    def quote(edge: Edge, amount: int) -> int:
        return -edge.quote_out(amount)

    def arriving(node: str) -> Collection[Edge]:
        return incoming.get(node, ())

    found = _best(arriving, quote, target, source, amount_out, max_hops, is_reversed=True)
    if found is None:
        return None
    return Found(found.edges[::-1], tuple(abs(amount) for amount in found.amounts[::-1]))


def _best(
    neighbours: Callable[[str], Collection[Edge]],
    quote: Callable[[Edge, int], int],
    begin: str,
    end: str,
    amount: int,
    max_hops: int,
    *,
    is_reversed: bool = False,
) -> Found | None:
    """Extend the best amounts hop by hop. Amounts to be paid are negative, so that more is always better."""
    layer: dict[str, list[Found]] = {begin: [Found((), (amount,))]}
    best: Found | None = None
    for hop in range(1, max_hops + 1):
        following: dict[str, list[Found]] = {}
        for node, ways in layer.items():
            onward = [edge for edge in neighbours(node) if hop < max_hops or _far(edge, is_reversed) == end]
            for reached in ways:
                passed = {begin, *(_far(edge, is_reversed) for edge in reached.edges)}
                used = {edge.pool.id for edge in reached.edges}
                for edge in onward:
                    ahead = _far(edge, is_reversed)
                    if ahead in passed or edge.pool.id in used:
                        continue
                    try:
                        result = quote(edge, abs(reached.amounts[-1]))
                    except (Refused, InputError):  # The pool does not hold so much, or the amount became nothing.
                        continue
                    known = following.setdefault(ahead, [])
                    if result and (len(known) < _WAYS_MAX or result > known[-1].amounts[-1]):
                        known.append(Found((*reached.edges, edge), (*reached.amounts, result)))
                        known.sort(key=lambda way: -way.amounts[-1])
                        del known[_WAYS_MAX:]
        for arrived in following.pop(end, ()):
            if best is None or arrived.amounts[-1] > best.amounts[-1]:
                best = arrived
        layer = following
    return best


def _far(edge: Edge, is_reversed: bool) -> str:
    return edge.source if is_reversed else edge.target
