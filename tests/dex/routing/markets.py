"""Markets made up from a seed, without a chain: pools of every depth and fee between tokens of every price."""

from __future__ import annotations

import math
import random

from dex import PoolSpec, pool_spec
from dex.replicas.base import PoolReplica
from dex.replicas.tick_math import sqrt_price_at, tick_at
from dex.routing import Market
from domain.assets import Asset, native_asset
from domain.events import PoolSnapshotted
from domain.ids import ChainId

CHAIN = ChainId(1337)
NATIVE = native_asset(CHAIN)
_SPACING = {100: 1, 500: 10, 3000: 60, 10000: 200}


def address(number: int) -> str:
    return f"0x{number:040x}"


class MadeUp:
    """A market under construction. Prices are raw units of value per raw unit of a token."""

    def __init__(self, seed: int, tokens: int) -> None:
        self.chance = random.Random(seed)
        self.decimals = [18, *(self.chance.choice([6, 8, 18]) for _ in range(tokens - 1))]
        # Dollars per whole token. Token 0 is the coin's ERC-20 form.
        self.dollars = [3000.0, *(10 ** self.chance.uniform(-1, 4.5) for _ in range(tokens - 1))]
        self.pools: list[tuple[PoolSpec, PoolReplica]] = []

    def raw(self, token: int, dollars: float) -> int:
        """How much of a token so many dollars are."""
        return int(dollars / self.dollars[token] * 10 ** self.decimals[token])

    def asset(self, token: int) -> Asset:
        for spec, _ in self.pools:
            for asset, contract in spec.tokens:
                if contract == self._address(token):
                    return asset
        raise KeyError(token)

    def v2(self, a: int, b: int, dollars: float, skew: float = 0.0) -> None:
        """Add a pair with so many dollars on each side; `skew` moves its price away from the market's."""
        spec = self._spec("v2", a, b, 3000)
        low, high = sorted((a, b))
        reserves = self.raw(low, dollars * math.exp(skew / 2)), self.raw(high, dollars * math.exp(-skew / 2))
        self._add(spec, reserve0=str(reserves[0]), reserve1=str(reserves[1]))

    def v3(self, a: int, b: int, dollars: float, fee: int, skew: float = 0.0, positions: int = 4) -> None:
        """Add a V3 pool: positions around the price, so that larger swaps cross several ticks and meet less."""
        spec, spacing = self._spec("v3", a, b, fee), _SPACING[fee]
        low, high = sorted((a, b))
        price = self.raw(high, 1e9) / self.raw(low, 1e9) * math.exp(skew)
        sqrt_price = int(math.sqrt(price) * 2**96)
        tick = tick_at(sqrt_price)
        ends: dict[int, list[int]] = {}
        liquidity = 0
        for number in range(positions):
            half = spacing * int(2 + 3**number * self.chance.uniform(1, 3) * 300 / spacing)
            lower, upper = ((tick - half) // spacing) * spacing, ((tick + half) // spacing + 1) * spacing
            value = self.raw(high, dollars / positions)
            amount = int(value * 2**96 / max(1, sqrt_price - sqrt_price_at(lower)))
            liquidity += amount
            for end, sign in ((lower, 1), (upper, -1)):
                net_gross = ends.setdefault(end, [0, 0])
                net_gross[0] += sign * amount
                net_gross[1] += amount
        self._add(
            spec,
            tick_spacing=spacing,
            sqrt_price_x96=str(sqrt_price),
            tick=tick,
            liquidity=str(liquidity),
            ticks=tuple((t, str(ends[t][0])) for t in sorted(ends)),
            ticks_gross=tuple(str(ends[t][1]) for t in sorted(ends)),
        )

    def any_pool(self, a: int, b: int, dollars: float) -> None:
        """Add a pool of a random kind, depth and price near the market's."""
        depth, skew = dollars * 10 ** self.chance.uniform(-1, 1), self.chance.gauss(0, 0.003)
        if self.chance.random() < 0.4:
            self.v2(a, b, depth, skew)
        else:
            self.v3(a, b, depth / 4, self.chance.choice([100, 500, 3000, 10000]), skew, self.chance.randint(1, 5))

    def market(self) -> Market:
        return Market(
            self.pools,
            chain_id=CHAIN,
            block_number=1,
            block_hash="0x" + "11" * 32,
            native=NATIVE,
            wrapped=self.asset(0),
        )

    def _address(self, token: int) -> str:
        return address(0x1000 + token)

    def _spec(self, kind: str, a: int, b: int, fee: int) -> PoolSpec:
        sides = [(self._address(t), f"T{t}", self.decimals[t]) for t in (a, b)]
        number = address(0x100000 + len(self.pools))
        return pool_spec(kind=kind, chain_id=CHAIN, address=number, token_a=sides[0], token_b=sides[1], fee_pips=fee)

    def _add(self, spec: PoolSpec, **state: object) -> None:
        replica = spec.replica()
        replica.apply(
            PoolSnapshotted(
                time_ns=0,
                pool=spec.id,
                block_number=1,
                kind=spec.kind,
                token0=spec.token0.id,
                token1=spec.token1.id,
                fee_pips=spec.fee_pips,
                **state,
            )
        )
        assert replica.is_valid, replica.invalid_reason
        self.pools.append((spec, replica))


def random_market(seed: int, *, tokens: int, pools: int, dollars: float = 1e6) -> MadeUp:
    """A connected market: every token trades against token 0, further pairs at random."""
    made = MadeUp(seed, tokens)
    for number in range(pools):
        a, b = (number + 1, 0) if number < tokens - 1 else made.chance.sample(range(tokens), 2)
        made.any_pool(a, b, dollars)
    return made
