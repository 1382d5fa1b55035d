"""Random trading on the devnet's pools of every kind: swaps of all sizes, liquidity that comes and goes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from chain.devnet import NATIVE_COIN, PoolEntry
from dex import V3Pool, V4Pool, devnet_pools
from dex.pools import PoolSpec
from tests.dex.trader import Trader

_LARGEST: Final = {"ETH": 1.7, "WETH": 1.7, "USDC": 5.0, "WBTC": 0.5, "DAI": 5.0, "USDT": 5.0}
"""Powers of ten of a token that no pool is emptied by."""
_PER_POOL: Final = 12
"""Positions of ours in one pool, at most."""


def replicated(trader: Trader) -> list[PoolSpec]:
    """The devnet's pools that have a replica."""
    return [spec for spec in devnet_pools(trader.devnet.world).values() if not spec.is_by_call]


class Traffic:
    """One random event after the other. The same seed makes the same events."""

    def __init__(self, trader: Trader, chance: random.Random) -> None:
        self.trader = trader
        self.chance = chance
        world = trader.devnet.world
        self.symbols = {token.address: symbol for symbol, token in world.tokens.items()} | {NATIVE_COIN: "ETH"}
        self.pools: Sequence[PoolEntry] = [
            pool for pool in world.pools if pool.kind in ("v2", "v3", "v4") and not trader.spec(pool).is_by_call
        ]
        self.positions: dict[PoolEntry, list[int]] = {}
        self.events = 0

    def forget(self) -> None:
        """Forget the positions: a reorganisation may have taken them."""
        self.positions.clear()

    def amount(self, spec: PoolSpec, token: str) -> int:
        """An amount to swap, from a hundredth of a token up."""
        decimals = next(asset.decimals for asset, address in spec.tokens if address == token)
        return int(10 ** self.chance.uniform(decimals - 2, decimals + _LARGEST[self.symbols[token]]))

    async def act(self) -> None:
        """Do one thing somewhere."""
        self.events += 1
        pool, what = self.chance.choice(self.pools), self.chance.random()
        if pool.kind in ("v3", "v4") and what > 0.6:
            held = self.positions.setdefault(pool, [])
            if held and (what > 0.85 or len(held) >= _PER_POOL):
                await self._burn(pool, held)
            else:
                held.append(await self._mint(pool))
            return
        spec = self.trader.spec(pool)
        token_in = self.chance.choice([address for _, address in spec.tokens])
        await self.trader.swap(pool, token_in, self.amount(spec, token_in))

    async def _mint(self, pool: PoolEntry) -> int:
        replica = await self.trader.replica(pool)
        assert isinstance(replica, V3Pool | V4Pool)
        spacing = replica.tick_spacing
        lower = (replica.tick // spacing + self.chance.randint(-40, 30)) * spacing
        upper = lower + self.chance.randint(1, 60) * spacing
        if pool.kind == "v4":
            liquidity = max(1, replica.liquidity // self.chance.randint(20, 2000))
            return await self.trader.v4.mint(pool, lower, upper, liquidity)
        amounts = (self.chance.randint(10**9, 10**11), self.chance.randint(10**9, 10**11))
        return await self.trader.mint(pool, lower, upper, *amounts)

    async def _burn(self, pool: PoolEntry, held: list[int]) -> None:
        position, share = self.chance.choice(held), self.chance.choice([30, 100])
        if pool.kind == "v4":
            await self.trader.v4.burn(pool, position, share)
        else:
            await self.trader.burn(position, share)
