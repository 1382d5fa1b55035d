"""Turns a wish (so much of this for that) into a quote: which pools, how much through each, and what comes of it.

Optimisers see pools as curves of floats (`curves`); what is promised are exact quotes in integers on the pools'
replicas, path after path, as the contracts will carry them out. The result is never worse than the best single path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from uuid import uuid4

from dex.routing.curves import edge_curve, split_in, split_out
from dex.routing.market import Edge, Market
from dex.routing.paths import MAX_HOPS, Found, best_path_in, best_path_out
from dex.routing.quote import Hop, Path, Quote
from domain.assets import Asset
from domain.errors import InputError, Refused


class Router:
    """Quotes over one market."""

    def __init__(
        self, market: Market, *, max_hops: int = MAX_HOPS, new_id: Callable[[], str] = lambda: uuid4().hex
    ) -> None:
        self.market = market
        self.max_hops = max_hops
        self._new_id = new_id

    def quote_exact_in(self, token_in: Asset, token_out: Asset, amount_in: int) -> Quote:
        """Quote what an input gives.

        Raises:
            InputError: The amount is not positive, or no pool trades a token.
            Refused: No route (`no_route`), or the pools cannot take so much (`pool_depth`).
        """
        source, target = self._ends(token_in, token_out, amount_in)
        single = best_path_in(self.market, source, target, amount_in, max_hops=self.max_hops)
        direct = [edge for edge in self.market.outgoing(source) if edge.target == target]
        inputs, _ = split_in([edge_curve(edge, amount_in) for edge in direct], amount_in)
        split = _settled_in([((edge,), amount) for edge, amount in zip(direct, inputs, strict=True)], amount_in)
        best = max((option for option in (split, [single] if single else []) if option), key=_out_of, default=[])
        if not best:
            raise self._no_route(token_in, token_out, source, target)
        return self._quote(token_in, token_out, best, is_exact_out=False)

    def quote_exact_out(self, token_in: Asset, token_out: Asset, amount_out: int) -> Quote:
        """Quote what an output costs.

        Raises:
            InputError: The amount is not positive, or no pool trades a token.
            Refused: No route (`no_route`), or the pools do not hold so much (`pool_depth`).
        """
        source, target = self._ends(token_in, token_out, amount_out)
        single = best_path_out(self.market, source, target, amount_out, max_hops=self.max_hops)
        direct = [edge for edge in self.market.outgoing(source) if edge.target == target]
        curves = [edge_curve(edge, float("inf")) for edge in direct]
        outputs, _ = split_out(curves, amount_out)
        split = _settled_out([((edge,), amount) for edge, amount in zip(direct, outputs, strict=True)], amount_out)
        best = min((option for option in (split, [single] if single else []) if option), key=_in_of, default=[])
        if not best:
            raise self._no_route(token_in, token_out, source, target)
        return self._quote(token_in, token_out, best, is_exact_out=True)

    def _ends(self, token_in: Asset, token_out: Asset, amount: int) -> tuple[str, str]:
        if amount <= 0:
            raise InputError(f"the amount must be positive, found {amount}")
        source, target = self.market.node(token_in), self.market.node(token_out)
        if source == target:
            raise InputError(
                f"{token_in.symbol} and {token_out.symbol} are the same", hint="Wrapping costs nothing but gas."
            )
        return self.market.ensure_known(token_in), self.market.ensure_known(token_out)

    def _no_route(self, token_in: Asset, token_out: Asset, source: str, target: str) -> Refused:
        reached = {source}
        for _ in range(self.max_hops):
            reached |= {edge.target for node in reached for edge in self.market.outgoing(node)}
        if target in reached:
            return Refused(
                f"no route from {token_in.symbol} to {token_out.symbol} is deep enough",
                rule="pool_depth",
                hint="Ask for less.",
            )
        return Refused(
            f"no route from {token_in.symbol} to {token_out.symbol} in {self.max_hops} hops",
            rule="no_route",
            hint="Add a token both trade against, or allow more hops.",
        )

    def _quote(self, token_in: Asset, token_out: Asset, found: Sequence[Found], *, is_exact_out: bool) -> Quote:
        paths = tuple(_path(entry) for entry in found)
        return Quote(
            id=self._new_id(),
            chain_id=self.market.chain_id,
            block_number=self.market.block_number,
            block_hash=self.market.block_hash,
            token_in=token_in,
            token_out=token_out,
            amount_in=_in_of(found),
            amount_out=_out_of(found),
            is_exact_out=is_exact_out,
            paths=paths,
            mid_price=max(_mid(entry.edges) for entry in found),
            gas_units=0,
            gas_cost=0,
        )


def _settled_in(shares: Sequence[tuple[tuple[Edge, ...], float]], total: int) -> list[Found]:
    """Settle parts of an input in integers, exactly; nothing when a pool refuses its part."""
    parts = sorted(((int(amount), edges) for edges, amount in shares), key=lambda part: -part[0])
    parts = [part for part in parts if part[0] > 0]
    if not parts:
        return []
    parts[0] = (parts[0][0] + total - sum(amount for amount, _ in parts), parts[0][1])
    found = []
    for amount, edges in parts:
        amounts = [amount]
        try:
            for edge in edges:
                amounts.append(edge.quote_in(amounts[-1]))
        except (Refused, InputError):
            return []
        found.append(Found(edges, tuple(amounts)))
    return found


def _settled_out(shares: Sequence[tuple[tuple[Edge, ...], float]], total: int) -> list[Found]:
    """Settle parts of an output in integers, exactly; nothing when a pool refuses its part."""
    parts = sorted(((int(amount), edges) for edges, amount in shares), key=lambda part: -part[0])
    parts = [part for part in parts if part[0] > 0]
    if not parts:
        return []
    parts[0] = (parts[0][0] + total - sum(amount for amount, _ in parts), parts[0][1])
    found = []
    for amount, edges in parts:
        amounts = [amount]
        try:
            for edge in reversed(edges):
                amounts.append(edge.quote_out(amounts[-1]))
        except (Refused, InputError):
            return []
        found.append(Found(edges, tuple(reversed(amounts))))
    return found


def _path(found: Found) -> Path:
    return Path(
        tuple(
            Hop(edge.pool, edge.token_in, edge.token_out, found.amounts[i], found.amounts[i + 1])
            for i, edge in enumerate(found.edges)
        )
    )


def _in_of(found: Sequence[Found]) -> int:
    return sum(entry.amounts[0] for entry in found)


def _out_of(found: Sequence[Found]) -> int:
    return sum(entry.amounts[-1] for entry in found)


def _mid(edges: Sequence[Edge]) -> Fraction:
    price = Fraction(1)
    for edge in edges:
        price *= edge.mid_price()
    return price
