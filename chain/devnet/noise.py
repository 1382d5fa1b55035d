"""Other people's trading on a devnet: seeded random swaps over all pools, so that their prices drift apart.

Which pool, which way and how much comes from the seed alone, never from the chain: the same seed makes the same trades
whatever the platform does in between. Sizes are log-normal in dollars; a pool that was pushed one way is more likely
to be pushed back, so that long runs stay near the market.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from chain.abi import address_word, selector, uint_word
from chain.client import ChainClient
from chain.devnet.accounts import TEST_ADDRESSES
from chain.devnet.market import NATIVE, Market
from chain.devnet.swaps import Step, allow, swap
from chain.devnet.world import NATIVE_COIN, DevnetWorld, PoolEntry
from domain.errors import InputError, InvariantError
from domain.ids import Address

log = structlog.get_logger(__name__)

NOISE_ACCOUNTS: Final = TEST_ADDRESSES[8:]
"""Who trades. The platform's own accounts are taken from the front."""

_KINDS: Final = ("v2", "v3", "v4", "balancer")
_GAS_LIMIT: Final = 1_500_000
_PREPARING_GAS: Final = 100_000
"""So low that all preparations fit into one block."""
_STOCK_USD: Final = 10**10
_USD_MEDIAN: Final = 12_000.0
_USD_SPREAD: Final = 1.0
_USD_MAX: Final = 250_000.0
_PULL_USD: Final = 400_000.0
"""A pool that far out of balance is pushed back nine times out of ten."""


@dataclass(frozen=True, slots=True)
class NoiseTrade:
    """One swap somebody makes."""

    account: Address
    pool: PoolEntry
    token_in: Address
    token_out: Address
    amount_in: int


class NoiseFlow:
    """The endless row of trades of one seed. Pure: knows the pools and no node."""

    def __init__(self, world: DevnetWorld, seed: int, prices_usd: Mapping[str, int] | None = None) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._pools = world.pools
        market = Market() if prices_usd is None else Market(prices_usd=prices_usd)
        self._per_usd = {entry.address: market.raw(symbol, 10**6) / 10**6 for symbol, entry in world.tokens.items()}
        self._per_usd[NATIVE_COIN] = market.raw(NATIVE, 10**6) / 10**6
        self._pushed: defaultdict[tuple[PoolEntry, Address, Address], float] = defaultdict(float)

    def next(self) -> NoiseTrade:
        """Draw the next trade."""
        chance = self._chance
        pool = chance.choice(self._pools)
        one, other = chance.sample((pool.token0, pool.token1, *pool.more_tokens), 2)
        if int(one, 16) > int(other, 16):
            one, other = other, one
        pair = (pool, one, other)
        usd = min(_USD_MEDIAN * chance.lognormvariate(0, _USD_SPREAD), _USD_MAX)
        if chance.random() < 0.5 - 0.4 * math.tanh(self._pushed[pair] / _PULL_USD):
            self._pushed[pair] += usd
            token_in, token_out = one, other
        else:
            self._pushed[pair] -= usd
            token_in, token_out = other, one
        account = chance.choice(NOISE_ACCOUNTS)
        return NoiseTrade(account, pool, token_in, token_out, max(1, int(usd * self._per_usd[token_in])))


class NoiseTrader:
    """Sends a flow's trades from test accounts whose keys the node itself holds."""

    def __init__(
        self, client: ChainClient, world: DevnetWorld, seed: int, prices_usd: Mapping[str, int] | None = None
    ) -> None:
        self.flow = NoiseFlow(world, seed, prices_usd)
        self.sent = 0
        self._client = client
        self._world = world

    async def prepare(self) -> None:
        """Give the accounts tokens without end and let every router take them."""
        market, sent = Market(), []
        for account in NOISE_ACCOUNTS:
            await self._client.rpc.request("anvil_setBalance", account, hex(10**9 * 10**18))
        # In a block of its own: what is set by hand is lost with the block after which it was set.
        await self._client.rpc.request("evm_mine")
        for account in NOISE_ACCOUNTS:
            for symbol, entry in self._world.tokens.items():
                raw = market.raw(symbol, _STOCK_USD)
                mint = selector("mint(address,uint256)") + address_word(account) + uint_word(raw)
                is_coin = symbol == "WETH"
                stock = Step(entry.address, selector("deposit()"), raw) if is_coin else Step(entry.address, mint)
                allowances = [step for kind in _KINDS for step in allow(self._world, kind, entry.address)]
                sent += [await self._send(account, step, _PREPARING_GAS) for step in (stock, *allowances)]
        if await self._client.receipt(sent[-1]) is None:  # Blocks come by interval only.
            await self._client.rpc.request("evm_mine")
        for tx_hash in sent:
            receipt = await self._client.wait_receipt(tx_hash, poll_s=0.002)
            if not receipt.succeeded:
                raise InvariantError(f"devnet: a noise account's preparation {tx_hash} reverted")

    async def step(self) -> tuple[NoiseTrade, str]:
        """Send the next trade; give it with its transaction's hash. It may wait in the pool until a block is mined."""
        trade = self.flow.next()
        call = swap(self._world, trade.pool, trade.token_in, trade.token_out, trade.amount_in, trade.account)
        tx_hash = await self._send(trade.account, call)
        self.sent += 1
        return trade, tx_hash

    async def run(self, per_second: float, stop: asyncio.Event) -> None:
        """Trade at random moments, so many a second on average, until told to stop.

        Raises:
            InputError: The rate is not positive.
        """
        if not per_second > 0:
            raise InputError(f"noise needs a positive rate, found {per_second}")
        pauses = random.Random(self.flow.seed ^ 1)
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), pauses.expovariate(per_second))
            except TimeoutError:
                await self.step()

    async def _send(self, account: Address, step: Step, gas: int = _GAS_LIMIT) -> str:
        request: dict[str, Any] = {
            "from": account,
            "to": step.to,
            "data": "0x" + step.data.hex(),
            "value": hex(step.value_wei),
            "gas": hex(gas),
        }
        return str(await self._client.rpc.request("eth_sendTransaction", request))
