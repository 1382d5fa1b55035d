"""The pools of one chain at one block, as a graph of tokens that routes are looked for in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from domain.assets import Asset
from domain.errors import Refused
from domain.ids import ChainId


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """One direction through one pool. Nodes are asset ids, where the chain's coin and its ERC-20 form are one node."""

    pool: PoolSpec
    replica: PoolReplica
    token_in: Asset
    token_out: Asset
    source: str
    target: str

    def quote_in(self, amount_in: int, state: PoolReplica | None = None) -> int:
        """Give the output, rounded down, on the pool's state or on a later one."""
        return (state or self.replica).quote_exact_in_down(self.token_in.id, amount_in, self.token_out.id)

    def quote_out(self, amount_out: int, state: PoolReplica | None = None) -> int:
        """Give the input that buys `amount_out`, rounded up."""
        return (state or self.replica).quote_exact_out_up(self.token_out.id, amount_out, self.token_in.id)

    def after_in(self, amount_in: int, state: PoolReplica | None = None) -> PoolReplica:
        """Give the state that a swap of an exact input leaves."""
        return (state or self.replica).after_exact_in(self.token_in.id, amount_in, self.token_out.id)

    def after_out(self, amount_out: int, state: PoolReplica | None = None) -> PoolReplica:
        """Give the state that a swap for an exact output leaves."""
        return (state or self.replica).after_exact_out(self.token_out.id, amount_out, self.token_in.id)

    def mid_price(self) -> Fraction:
        """Raw output per raw input at the margin, fee aside."""
        return self.replica.mid_price_raw(self.token_in.id, self.token_out.id)

    def first_price(self) -> float:
        """Raw output per raw input of the first unit, fee included; for optimisers."""
        return self.replica.marginal_price(self.token_in.id, self.token_out.id)


class Market:
    """Valid replicas and the edges they make. A market is of one block: make a new one for the next.

    Replicas that may be wrong are left out and named in `left_out` with their reasons.
    """

    def __init__(
        self,
        pools: Iterable[tuple[PoolSpec, PoolReplica]],
        *,
        chain_id: ChainId,
        block_number: int,
        block_hash: str,
        native: Asset,
        wrapped: Asset | None,
    ) -> None:
        self.chain_id = chain_id
        self.block_number = block_number
        self.block_hash = block_hash
        self.native = native
        self.wrapped = wrapped
        self.left_out: dict[str, str] = {}
        edges: list[Edge] = []
        for spec, replica in pools:
            if not replica.is_valid:
                self.left_out[spec.id] = replica.invalid_reason
                continue
            assets = [asset for asset, _ in spec.tokens]
            edges += (
                Edge(spec, replica, a, b, self.node(a), self.node(b)) for a in assets for b in assets if a.id != b.id
            )
        self.edges: tuple[Edge, ...] = tuple(edges)
        outgoing: dict[str, list[Edge]] = {}
        for edge in edges:
            outgoing.setdefault(edge.source, []).append(edge)
        self._outgoing = outgoing
        self._first_prices: dict[Edge, float] = {}
        self._pairs: dict[tuple[str, str], float] | None = None
        self._rates: dict[tuple[str, int, bool], list[dict[str, float]]] = {}

    def node(self, asset: Asset) -> str:
        """Name an asset's node: the coin and its wrapped form change into each other 1:1 and free of fees."""
        return self.wrapped.id if self.wrapped is not None and asset.id == self.native.id else asset.id

    def outgoing(self, node: str) -> Sequence[Edge]:
        """List the edges that begin at a token."""
        return self._outgoing.get(node, ())

    def first_price(self, edge: Edge) -> float:
        """Give an edge's price of the first unit, asked once in a market's life."""
        price = self._first_prices.get(edge)
        if price is None:
            price = self._first_prices[edge] = edge.first_price()
        return price

    def rates(self, node: str, max_hops: int, *, is_forward: bool) -> list[dict[str, float]]:
        """For each number of hops up to a most, the best chain of first-unit prices from a token (or to it).

        Entry `n` of the answer holds what at most n hops reach, with the price of one token in units of the other.
        """
        key = (node, max_hops, is_forward)
        if key not in self._rates:
            self._rates[key] = self._find_rates(node, max_hops, is_forward=is_forward)
        return self._rates[key]

    def _find_rates(self, node: str, max_hops: int, *, is_forward: bool) -> list[dict[str, float]]:
        if self._pairs is None:
            self._pairs = {}
            for edge in self.edges:
                pair, price = (edge.source, edge.target), self.first_price(edge)
                if price > self._pairs.get(pair, 0.0):
                    self._pairs[pair] = price
        pairs = [(a, b, p) if is_forward else (b, a, p) for (a, b), p in self._pairs.items()]
        layers = [{node: 1.0}]
        for _ in range(max_hops):
            before, known = layers[-1], dict(layers[-1])
            for near, far, price in pairs:
                if near in before and before[near] * price > known.get(far, 0.0):
                    known[far] = before[near] * price
            layers.append(known)
        return layers

    def ensure_known(self, asset: Asset) -> str:
        """Give an asset's node.

        Raises:
            Refused: No pool trades it (`no_route`).
        """
        node = self.node(asset)
        if node not in self._outgoing:
            raise Refused(
                f"no pool of this market trades {asset.symbol}",
                rule="no_route",
                hint=self._reasons() or "Pools that are known are those between the tokens that are known.",
            )
        return node

    def _reasons(self) -> str:
        broken: Mapping[str, str] = self.left_out
        return "; ".join(f"{pool} is left out: {why}" for pool, why in list(broken.items())[:3])
