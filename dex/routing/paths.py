"""The best single path, found on exact quotes: for each number of hops the most of every token that can be had.

More input never gives less output, so extending the best amounts hop by hop finds the best path, as long as the best
way to a token does not itself use the token or the pool that comes next; such an extension is skipped, and the tests
compare with every path there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from dex.routing.market import Edge, Market
from domain.errors import InputError, Refused

MAX_HOPS = 3


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
    layer: dict[str, Found] = {begin: Found((), (amount,))}
    best: Found | None = None
    for _ in range(max_hops):
        following: dict[str, Found] = {}
        for node, reached in layer.items():
            passed = {begin, *(edge.target if not is_reversed else edge.source for edge in reached.edges)}
            used = {edge.pool.id for edge in reached.edges}
            for edge in neighbours(node):
                ahead = edge.source if is_reversed else edge.target
                if ahead in passed or edge.pool.id in used:
                    continue
                try:
                    result = quote(edge, abs(reached.amounts[-1]))
                except (Refused, InputError):  # The pool does not hold so much, or the amount has become nothing.
                    continue
                if result == 0:
                    continue
                known = following.get(ahead)
                if known is None or result > known.amounts[-1]:
                    following[ahead] = Found((*reached.edges, edge), (*reached.amounts, result))
        arrived = following.pop(end, None)
        if arrived is not None and (best is None or arrived.amounts[-1] > best.amounts[-1]):
            best = arrived
        layer = following
    return best
