"""Every cycle through a set of pools, and which of them a block has to be asked about again.

Cycles are found once, when the pools are known. A pool that changed touches the cycles that go through it and no
others; of those most are dismissed by their marginal prices alone, a product of numbers that are already there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from dex.arbitrage.curves import Curve, curve_of
from dex.arbitrage.cycles import Cycle, CycleOptimum, Leg, solve_cycle
from dex.replicas.base import PoolReplica
from domain.assets import native_asset
from domain.errors import InputError
from domain.ids import Address, ChainId

_CYCLES_MAX: Final = 200_000


def same_coin(chain_id: ChainId, wrapped: Address) -> dict[str, str]:
    """A chain's coin passes for its wrapped form: whoever carries a cycle out wraps and unwraps it one to one."""
    return {native_asset(chain_id).id: f"eip155:{chain_id}/erc20:{wrapped}"}


class CycleIndex:
    """The cycles of a set of pools, by pool."""

    def __init__(
        self,
        pools: Mapping[str, Sequence[str]],
        start_tokens: Sequence[str],
        *,
        legs_max: int = 3,
        same: Mapping[str, str] | None = None,
    ) -> None:
        """Find all cycles.

        Args:
            pools: Each pool's tokens, by pool id.
            start_tokens: Where cycles may begin, best liked first: a cycle through several begins at the first.
            legs_max: The most pools a cycle goes through.
            same: Tokens that pass for another one to one, as the chain's coin for its wrapped form.

        Raises:
            InputError: There are too many cycles to follow.
        """
        self._same = dict(same or {})
        self._edges: dict[str, list[Leg]] = defaultdict(list)
        for pool, tokens in pools.items():
            for token_in in tokens:
                self._edges[self._one(token_in)] += [
                    Leg(pool, token_in, other) for other in tokens if other != token_in
                ]
        self.cycles: tuple[Cycle, ...] = tuple(self._find(start_tokens, legs_max))
        by_pool: dict[str, list[int]] = {pool: [] for pool in pools}
        for number, cycle in enumerate(self.cycles):
            for leg in cycle.legs:
                by_pool[leg.pool].append(number)
        self._by_pool = {pool: tuple(numbers) for pool, numbers in by_pool.items()}

    def touched(self, pools: Iterable[str]) -> list[int]:
        """Numbers of the cycles that go through any of these pools, ascending."""
        return sorted({number for pool in pools for number in self._by_pool.get(pool, ())})

    def _one(self, token: str) -> str:
        return self._same.get(token, token)

    def _find(self, start_tokens: Sequence[str], legs_max: int) -> Iterator[Cycle]:
        count = 0
        passed: set[str] = set()
        for start in dict.fromkeys(self._one(token) for token in start_tokens):
            for legs in self._walks(start, passed, legs_max):
                count += 1
                if count > _CYCLES_MAX:
                    raise InputError(
                        f"more than {_CYCLES_MAX} cycles through these pools",
                        hint="Name fewer tokens or pools, or allow fewer legs.",
                    )
                yield Cycle(legs)
            passed.add(start)

    def _walks(self, start: str, passed: set[str], legs_max: int) -> Iterator[tuple[Leg, ...]]:
        """Every way from `start` back to it over tokens and pools that are each used once."""
        stack: list[tuple[tuple[Leg, ...], str]] = [((), start)]
        while stack:
            legs, at = stack.pop()
            for leg in self._edges.get(at, ()):
                if any(leg.pool == before.pool for before in legs):
                    continue
                token = self._one(leg.token_out)
                if token == start:
                    if legs:
                        yield (*legs, leg)
                elif (
                    len(legs) + 1 < legs_max
                    and token not in passed
                    and all(token != self._one(before.token_out) for before in legs)
                ):
                    stack.append(((*legs, leg), token))


class CycleScanner:
    """Keeps each cycle's best size for the replicas' present state, solving again only what changed."""

    def __init__(self, index: CycleIndex, replicas: Mapping[str, PoolReplica]) -> None:
        self.index = index
        self.replicas = replicas
        self.solved = 0
        """How many cycles were sized, dismissals by price not counted."""
        self._curves: dict[Leg, tuple[Curve, float]] = {}
        self._found: dict[int, CycleOptimum] = {}

    def update(self, pools: Iterable[str] | None = None) -> list[CycleOptimum]:
        """Take over what changed in these pools (None: in all); give every profitable cycle, most profitable first.

        That counts raw units: `disjoint` weighs cycles of different tokens.
        """
        changed = set(self.replicas if pools is None else pools)
        for leg in [leg for leg in self._curves if leg.pool in changed]:
            del self._curves[leg]
        for number in self.index.touched(changed):
            optimum = self._solve(self.index.cycles[number])
            if optimum is None:
                self._found.pop(number, None)
            else:
                self._found[number] = optimum
        return sorted(self._found.values(), key=lambda found: -found.profit)

    def behind(self, changed: Mapping[str, PoolReplica]) -> list[CycleOptimum]:
        """Give the profitable cycles through pools in a state that they are not in yet; this scanner stays as it is."""
        ahead = CycleScanner(self.index, {**self.replicas, **changed})
        ahead._curves = {leg: known for leg, known in self._curves.items() if leg.pool not in changed}
        return ahead.update(changed)

    def _solve(self, cycle: Cycle) -> CycleOptimum | None:
        curves, rate = [], 1.0
        for leg in cycle.legs:
            known = self._curves.get(leg)
            if known is None:
                replica = self.replicas[leg.pool]
                if not replica.is_valid:
                    return None
                curve = curve_of(replica, leg.token_in, leg.token_out)
                local = curve.at(0.0)
                known = self._curves[leg] = (curve, local.marginal if local else 0.0)
            curves.append(known[0])
            rate *= known[1]
        if rate <= 1:
            return None
        self.solved += 1
        return solve_cycle(cycle, self.replicas, curves)


def disjoint(optima: Iterable[CycleOptimum], worth: Callable[[CycleOptimum], Fraction]) -> list[CycleOptimum]:
    """Choose cycles that share no pool, the one worth most first: all of them can be carried out in one block."""
    taken: set[str] = set()
    chosen = []
    for optimum in sorted(optima, key=worth, reverse=True):
        pools = {leg.pool for leg in optimum.cycle.legs}
        if worth(optimum) > 0 and not pools & taken:
            taken |= pools
            chosen.append(optimum)
    return chosen
