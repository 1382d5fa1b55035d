"""Watches a set of pools and says, block by block, which cycles are worth carrying out. Pure: events in, opportunities
out; no clock, no network."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Final

from dex.arbitrage.cycles import CycleOptimum
from dex.arbitrage.executor import Loan, Step, StepKind, steps_of
from dex.arbitrage.funding import GAS, Lenders, cheapest_loan
from dex.arbitrage.index import CycleIndex, CycleScanner, disjoint, same_coin
from dex.arbitrage.planning import token_of
from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from domain.assets import Asset
from domain.ids import Address

_GONE_MAX: Final = 1_000
GAS_BASE: Final = 45_000
"""What every execution costs, own funds, calldata and profit's transfer included."""
GAS_STEPS: Final[Mapping[StepKind, int]] = {
    StepKind.V2: 60_000,
    StepKind.V3: 67_000,
    StepKind.V4: 67_000,
    StepKind.BALANCER: 95_000,
    StepKind.CURVE: 120_000,
    StepKind.WRAP: 15_000,
}
"""Fitted to what cycles cost on the devnet: within 12,000 in nine of ten. Each V3 tick that is crossed adds 25,000."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What counts against a profit."""

    gas_price_wei: int
    """What a unit of gas will cost: base fee and tip."""
    margin_wei: int = 0
    """What must be left after gas."""


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A cycle that pays: what to do, and what it is expected to bring."""

    optimum: CycleOptimum
    steps: tuple[Step, ...]
    loan: Loan
    token: Asset
    profit: int
    """Predicted, after the loan's fee and before gas; raw units of the token."""
    gas_units: int
    gas_cost: int
    """Predicted, in raw units of the token, rounded up."""
    token_wei: Fraction
    """What a raw unit of the token is worth in wei, for comparing tokens."""

    @property
    def net(self) -> int:
        """Predicted profit after gas."""
        return self.profit - self.gas_cost

    @property
    def pools(self) -> frozenset[str]:
        return frozenset(leg.pool for leg in self.optimum.cycle.legs)


class Searcher:
    """Cycles over a set of pools, kept up by events.

    `replicas` are its own, or those of a `PoolFollower` that applies the events before telling them: `note` then only
    takes down which pool changed.
    """

    def __init__(
        self,
        pools: Sequence[PoolSpec],
        replicas: Mapping[str, PoolReplica],
        wrapped: Asset,
        wrapped_address: Address,
        start_tokens: Sequence[str],
        *,
        legs_max: int = 3,
    ) -> None:
        self.pools: dict[str, PoolSpec] = {pool.id: pool for pool in pools}
        self.replicas = replicas
        self.wrapped = wrapped
        self.lenders: dict[str, Lenders] = {}
        """By asset id of the cycles' tokens; nobody lends a token that is not here."""
        self._gone: set[CycleOptimum] = set()
        self._wrapped_address = wrapped_address
        same = same_coin(pools[0].chain_id, wrapped_address) if pools else {}
        self._coins = {wrapped.id, *same}
        tokens: dict[str, tuple[str, ...]] = {pool.id: tuple(asset.id for asset, _ in pool.tokens) for pool in pools}
        self.index = CycleIndex(tokens, start_tokens, legs_max=legs_max, same=same)
        self.scanner = CycleScanner(self.index, replicas)
        self._changed: set[str] | None = None

    def note(self, pool: str) -> None:
        """A pool's replica changed."""
        if self._changed is not None:
            self._changed.add(pool)

    def forget(self, optimum: CycleOptimum) -> None:
        """Give this cycle no more, until its amounts change: the chain was found to be elsewhere already."""
        if len(self._gone) >= _GONE_MAX:
            self._gone.clear()
        self._gone.add(optimum)

    def find(self, costs: Costs, busy: Collection[str] = ()) -> list[Opportunity]:
        """Give what pays after its costs, best first, each through pools of its own.

        Args:
            costs: Gas, and what must be left.
            busy: Pools that something of ours is under way on: cycles through them are not given.
        """
        optima, self._changed = self.scanner.update(self._changed), set()
        return self._choose(optima, costs, busy)

    def behind(self, changed: Mapping[str, PoolReplica], costs: Costs, busy: Collection[str] = ()) -> list[Opportunity]:
        """Give what pays once pools are in the state that waiting transactions leave, as `find`.

        Only cycles through those pools: the others pay now, or not.
        """
        self.scanner.update(self._changed)
        self._changed = set()
        return self._choose(self.scanner.behind(changed), costs, busy)

    def _choose(self, optima: Sequence[CycleOptimum], costs: Costs, busy: Collection[str]) -> list[Opportunity]:
        free = [
            optimum
            for optimum in optima
            if optimum not in self._gone and not any(leg.pool in busy for leg in optimum.cycle.legs)
        ]
        priced: dict[int, Opportunity] = {}
        for opportunity in self._price(free, costs):
            priced[id(opportunity.optimum)] = opportunity

        def worth(optimum: CycleOptimum) -> Fraction:
            found = priced.get(id(optimum))
            return found.net * found.token_wei - costs.margin_wei if found is not None else Fraction(0)

        return [priced[id(optimum)] for optimum in disjoint(free, worth)]

    def all(self, costs: Costs) -> list[Opportunity]:
        """Give every cycle that earns anything before gas, most worth first, whether or not they share pools."""
        optima, self._changed = self.scanner.update(self._changed), set()
        return sorted(self._price(optima, costs), key=lambda found: -found.net * found.token_wei)

    def _price(self, optima: Iterable[CycleOptimum], costs: Costs) -> Iterator[Opportunity]:
        worths: dict[str, Fraction | None] = {}
        for optimum in optima:
            token = token_of(optimum, self.pools, self.wrapped)
            if token.id not in worths:
                worths[token.id] = self.worth_wei(token.id)
            worth = worths[token.id]
            if not worth:
                continue
            steps = steps_of(optimum, self.pools, self._wrapped_address)
            gas_price = costs.gas_price_wei / worth
            pools = [leg.pool for leg in optimum.cycle.legs]
            lenders = self.lenders.get(token.id, Lenders())
            loan = cheapest_loan(steps, pools, optimum.amount_in, lenders, gas_price)
            if loan is None or loan.fee >= optimum.profit:
                continue
            gas = gas_of(steps, loan)
            yield Opportunity(
                optimum=optimum,
                steps=steps,
                loan=loan,
                token=token,
                profit=optimum.profit - loan.fee,
                gas_units=gas,
                gas_cost=math.ceil(gas * gas_price),
                token_wei=worth,
            )

    def worth_wei(self, token: str) -> Fraction | None:
        """Price a raw unit of a token in wei, by the median of the pools that trade it for the coin; None without."""
        if token == self.wrapped.id:
            return Fraction(1)
        prices = []
        for name, pool in self.pools.items():
            replica = self.replicas[name]
            ids = [asset.id for asset, _ in pool.tokens]
            coin = next((asset for asset in ids if asset in self._coins), None)
            if token in ids and coin is not None and replica.is_valid:
                prices.append(replica.mid_price_raw(token, coin))
        return median(prices) if prices else None


def gas_of(steps: Sequence[Step], loan: Loan) -> int:
    """Estimate an execution's gas, for choosing; custody asks the node before it signs."""
    return GAS_BASE + sum(GAS_STEPS[step.kind] for step in steps) + GAS[loan.funding]
