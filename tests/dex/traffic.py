"""Random trading on the devnet's pools of every kind: swaps of all sizes, liquidity that comes and goes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from chain.devnet import NATIVE_COIN, Devnet, PoolEntry
from dex import V3Pool, V4Pool, devnet_pools, read_pools
from dex.pools import PoolSpec
from tests.dex.trader import Trader
from tests.dex.trader_balances import BalanceHand

_LARGEST: Final = {"ETH": 1.7, "WETH": 1.7, "USDC": 5.0, "WBTC": 0.5, "DAI": 5.0, "USDT": 5.0}
"""Powers of ten of a token that no pool is emptied by."""
_PER_POOL: Final = 12
"""Positions of ours in one pool, at most."""


def replicated(devnet: Devnet) -> list[PoolSpec]:
    """The devnet's pools that have a replica."""
    return [spec for spec in devnet_pools(devnet.world).values() if not spec.is_by_call]


class Traffic:
    """One random event after the other. The same seed makes the same events.

    `more` are pools that hold balances, besides the devnet's own.
    """

    def __init__(self, trader: Trader, chance: random.Random, more: Sequence[PoolSpec] = ()) -> None:
        self.trader = trader
        self.hand = BalanceHand(trader.client)
        self.chance = chance
        world = trader.devnet.world
        self.symbols = {token.address: symbol for symbol, token in world.tokens.items()} | {NATIVE_COIN: "ETH"}
        self.pools: Sequence[PoolEntry] = [
            pool for pool in world.pools if pool.kind in ("v2", "v3", "v4") and not trader.spec(pool).is_by_call
        ]
        self.balanced = [spec for spec in replicated(trader.devnet) if spec.kind.startswith("balancer-")] + list(more)
        self.positions: dict[PoolEntry, list[int]] = {}
        self.events = 0

    async def prepare(self) -> None:
        """Approve what the pools with balances need."""
        for spec in self.balanced:
            await self.hand.approve(spec)

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
        at, what = self.chance.randrange(len(self.pools) + len(self.balanced)), self.chance.random()
        if at >= len(self.pools):
            await self._act_on_balances(self.balanced[at - len(self.pools)], what)
            return
        pool = self.pools[at]
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

    async def _act_on_balances(self, spec: PoolSpec, what: float) -> None:
        client = self.trader.client
        head = await client.head()
        (now,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
        balances = [int(balance) for balance in now.balances]
        if what > 0.9:
            await self.hand.leave(spec, self.chance.randint(1, 9))
        elif what > 0.8:
            await self.hand.join(spec, [balance // self.chance.randint(20, 900) for balance in balances])
        else:
            source, target = self.chance.sample(range(len(balances)), 2)
            amount = balances[source] // self.chance.randint(8, 10**6)
            tokens = [address for _, address in spec.tokens]
            await self.hand.swap(spec, tokens[source], tokens[target], max(amount, 10**4))

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
