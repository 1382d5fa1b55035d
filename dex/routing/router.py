"""Turns a wish (so much of this for that) into a quote: which pools, how much through each, and what comes of it.

Optimisers see pools as curves of floats (`curves`, `network`); what is promised are exact quotes in integers on the
pools' replicas, path after path, as the contracts will carry them out (`settlement`). After gas the result is never
worse than the best single path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from uuid import uuid4

from dex.routing.candidates import Arc, best_rate, candidates, last_unit_price
from dex.routing.gas import GasPrice, GasTerms, TickCounter
from dex.routing.market import Edge, Market
from dex.routing.network import Flow, best_flow
from dex.routing.paths import MAX_HOPS, Found, best_path_in, best_path_out
from dex.routing.quote import Hop, Path, Quote
from dex.routing.rounding import refined
from dex.routing.selection import Selection, select
from dex.routing.settlement import Share, settle_in, settle_out, shares_of
from domain.assets import Asset
from domain.errors import InputError, Refused

PATHS_MAX: Final = 16
_APPROACHES_MAX: Final = 12
_WORSE_MAX: Final = 3
_MORE: Final = (2.0, 16.0, 256.0, 4096.0)
"""Where no single path gives an output, how many times its price at the margin it may cost."""


@dataclass(frozen=True, slots=True)
class _Option:
    """A settled route with its gas."""

    paths: list[Found]
    gas_units: int
    gas_cost: int

    @property
    def amount_in(self) -> int:
        return sum(path.amounts[0] for path in self.paths)

    @property
    def amount_out(self) -> int:
        return sum(path.amounts[-1] for path in self.paths)


class Router:
    """Quotes over one market. Pure: no clock, no network.

    Args:
        market: The pools at one block.
        gas: What gas costs; free unless given, and then no pool is left out for it.
        max_hops: Pools one after another, 1 to 3.
        max_paths: Paths side by side.
        mixes_kinds_out: Whether a path of an exact output may change the kind of pool. Routers cannot: what comes
            between two kinds is known only after the first swap.
        new_id: Where quotes' ids come from.
    """

    def __init__(
        self,
        market: Market,
        *,
        gas: GasTerms | None = None,
        max_hops: int = MAX_HOPS,
        max_paths: int = PATHS_MAX,
        mixes_kinds_out: bool = False,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        if not 1 <= max_hops <= MAX_HOPS or max_paths < 1:
            raise InputError(f"a route has 1 to {MAX_HOPS} hops and some paths, found {max_hops} and {max_paths}")
        self.market = market
        self.gas = gas or GasTerms()
        self.max_hops = max_hops
        self.max_paths = max_paths
        self.mixes_kinds_out = mixes_kinds_out
        self.new_id = new_id
        self.ticks = TickCounter()

    def quote_exact_in(self, token_in: Asset, token_out: Asset, amount_in: int) -> Quote:
        """Quote what an input gives: the most after gas.

        Raises:
            InputError: The amount is not positive, or the tokens are one.
            Refused: No route (`no_route`), or none for so much or so little (`pool_depth`).
        """
        source, target = self._ends(token_in, token_out, amount_in)
        price = self.gas_price(target)
        single = best_path_in(self.market, source, target, amount_in, max_hops=self.max_hops)
        arcs = candidates(self.market, source, target, float(amount_in), max_hops=self.max_hops, single=single)
        options = [] if single is None else [self._option([single], price)]
        if arcs and (len(arcs) > 1 or single is None):
            floor = last_unit_price(single) if single is not None else 0.0
            chosen = select(arcs, source, target, float(amount_in), _costs(arcs, price), floor=floor)
            shares = self._few_shares(arcs, chosen, source, target, float(amount_in))
            options += self._settled(shares, lambda part: _settle_in(part, amount_in), price)
        if not options:
            raise self._no_route(token_in, token_out, source, target)
        best = max(options, key=lambda option: option.amount_out - option.gas_cost)
        return self._quote(token_in, token_out, best, is_exact_out=False)

    def quote_exact_out(self, token_in: Asset, token_out: Asset, amount_out: int) -> Quote:
        """Quote what an output costs: the least, gas included.

        Raises:
            InputError: The amount is not positive, or the tokens are one.
            Refused: No route (`no_route`), or none for so much or so little (`pool_depth`).
        """
        source, target = self._ends(token_in, token_out, amount_out)
        price = self.gas_price(source)
        single = self._single_out(source, target, amount_out)
        options = [] if single is None else [self._option([single], price)]
        for total in self._inputs_at_most(source, target, amount_out, single):
            arcs = candidates(
                self.market,
                source,
                target,
                total,
                max_hops=self.max_hops,
                single=single,
                is_exact_out=True,
                is_uniform=not self.mixes_kinds_out,
            )
            shares = self._shares_out(arcs, source, target, total, amount_out, price)
            options += self._settled(shares, lambda part: settle_out(part, amount_out), price)
            if options:
                break
        if not options:
            raise self._no_route(token_in, token_out, source, target)
        best = min(options, key=lambda option: option.amount_in + option.gas_cost)
        return self._quote(token_in, token_out, best, is_exact_out=True)

    def _settled(
        self, shares: Sequence[Share], settle: Callable[[Sequence[Share]], list[Found] | None], price: GasPrice
    ) -> Iterator[_Option]:
        """Settle a split; where gas costs something, also without its smallest paths, for as long as that helps.

        All paths end at the same marginal price, so what a small one carried costs the others next to nothing.
        """
        best: int | None = None
        worse = 0
        for count in range(len(shares), 0, -1):
            settled = settle(shares[:count])
            if settled is None:
                continue
            option = self._option(settled, price)
            yield option
            gain = option.amount_out - option.amount_in - option.gas_cost  # One of the amounts is always the same.
            worse = 0 if best is None or gain > best else worse + 1
            best = gain if worse == 0 else best
            if not price.token_per_wei or not price.terms.is_due or worse == _WORSE_MAX:
                return

    def _shares_out(
        self, arcs: Sequence[Arc], source: str, target: str, total: float, amount_out: int, price: GasPrice
    ) -> list[Share]:
        """Find the pools for about `total` of input, then the input at which they give the output."""
        if not arcs:
            return []
        whole = best_flow(arcs, source, target, total)
        costs = [cost * whole.prices[source] for cost in _costs(arcs, price)]
        chosen = select(arcs, source, target, total, costs)
        arcs, flow = [arcs[i] for i in chosen.used], None
        prices = chosen.flow.prices
        for _ in range(_APPROACHES_MAX):
            flow = best_flow(arcs, source, target, total, prices)
            prices = flow.prices
            gives = _arriving(arcs, flow, target)
            slope = prices[source]
            if slope <= 0 or abs(gives - amount_out) <= 1e-9 * amount_out:
                break
            # The output is concave in the input, with the source's price as its slope: Newton, from above.
            total = max(total - (gives - amount_out) / slope, total / 1000)
        if flow is None:
            return []
        if _arriving(arcs, flow, target) < amount_out * (1 - 1e-6):
            return []
        return self._few_shares(arcs, Selection(tuple(range(len(arcs))), flow, 0.0), source, target, total)

    def _single_out(self, source: str, target: str, amount_out: int) -> Found | None:
        kinds = [""] if self.mixes_kinds_out else sorted({edge.pool.kind for edge in self.market.edges})
        found = (
            best_path_out(self.market, source, target, amount_out, max_hops=self.max_hops, kind=kind) for kind in kinds
        )
        return min((path for path in found if path is not None), key=lambda path: path.amounts[0], default=None)

    def _inputs_at_most(self, source: str, target: str, amount_out: int, single: Found | None) -> Sequence[float]:
        """Give inputs to look among for the least that gives an output: the next where one is not enough."""
        if single is not None:
            return (float(single.amounts[0]),)
        rate = best_rate(self.market, source, target, self.max_hops)
        return [factor * amount_out / rate for factor in _MORE] if rate > 0 else ()

    def _few_shares(
        self, arcs: Sequence[Arc], chosen: Selection, source: str, target: str, total: float
    ) -> list[Share]:
        """Draw out the paths; while there are too many, leave out the pools that earn least."""
        while True:
            taken = [arcs[i] for i in chosen.chosen]
            shares = shares_of(taken, chosen.flow.inputs, source, target)
            excess = len(shares) - self.max_paths
            if excess <= 0:
                return shares
            loss = dict(zip(chosen.chosen, chosen.flow.loss, strict=True))
            pools = sorted((i for i in chosen.used if arcs[i].is_pool), key=lambda i: loss[i])
            dropped = set(pools[: max(1, excess // 2)])
            kept = [i for i in chosen.used if i not in dropped]
            flow = best_flow([arcs[i] for i in kept], source, target, total, chosen.flow.prices)
            chosen = Selection(tuple(kept), flow, 0.0)

    def _option(self, paths: list[Found], price: GasPrice) -> _Option:
        return _Option(paths, *price.of_paths(paths, self.ticks))

    def gas_price(self, node: str) -> GasPrice:
        """Price gas in a token. What no pool prices costs nothing: better a route with too many pools than none."""
        rate = best_rate(self.market, self.market.node(self.market.native), node, self.max_hops)
        return GasPrice(self.gas, rate)

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
                f"no route from {token_in.symbol} to {token_out.symbol} for this amount",
                rule="pool_depth",
                hint="The pools do not hold so much, or the amount is too small to give anything.",
            )
        return Refused(
            f"no route from {token_in.symbol} to {token_out.symbol} in {self.max_hops} hops",
            rule="no_route",
            hint="Add a token both trade against, or allow more hops.",
        )

    def _quote(self, token_in: Asset, token_out: Asset, best: _Option, *, is_exact_out: bool) -> Quote:
        return Quote(
            id=self.new_id(),
            chain_id=self.market.chain_id,
            block_number=self.market.block_number,
            block_hash=self.market.block_hash,
            token_in=token_in,
            token_out=token_out,
            amount_in=best.amount_in,
            amount_out=best.amount_out,
            is_exact_out=is_exact_out,
            paths=tuple(_path(entry) for entry in best.paths),
            mid_price=max(_mid(entry.edges) for entry in best.paths),
            gas_units=best.gas_units,
            gas_cost=best.gas_cost,
        )


def _settle_in(shares: Sequence[Share], total: int) -> list[Found] | None:
    settled = settle_in(shares, total)
    return None if settled is None else refined(settled)


def _costs(arcs: Sequence[Arc], price: GasPrice) -> list[float]:
    return [0.0 if arc.edge is None else price.of_edge(arc.edge) for arc in arcs]


def _arriving(arcs: Sequence[Arc], flow: Flow, target: str) -> float:
    return sum(arc.curve.out_at(x) for arc, x in zip(arcs, flow.inputs, strict=True) if arc.head == target)


def _path(found: Found) -> Path:
    return Path(
        tuple(
            Hop(edge.pool, edge.token_in, edge.token_out, found.amounts[i], found.amounts[i + 1])
            for i, edge in enumerate(found.edges)
        )
    )


def _mid(edges: Sequence[Edge]) -> Fraction:
    price = Fraction(1)
    for edge in edges:
        price *= edge.mid_price()
    return price
