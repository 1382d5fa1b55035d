"""A chain's pools as they are at its newest block, for a process that is asked for quotes all day.

Nothing is followed while nobody asks. A question looks at the head first: pools that were read at that very block are
used as they are, others are read again. Which pools there are is asked anew every few minutes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chain import ChainClient
from chain.network import NetworkKind, identify
from cli.dex.market import OpenMarket, addresses_among, deployment_for
from dex.discovery import Discovery, discover
from dex.routing.loading import ROUTER_KINDS, gas_terms, load_market
from domain import VenueUnavailable

DISCOVERY_NS: Final = 300 * 10**9
"""A pool that was created is found after so long, at the latest."""
KEPT_MAX: Final = 8
WAITING_MAX: Final = 32
READ_S: Final = 20.0


@dataclass(slots=True)
class _Kept:
    discovery: Discovery
    found_ns: int
    market: OpenMarket | None = None


class LiveMarket:
    """Reads the pools of one chain when it is asked, and keeps them for a block. Connects with the first question.

    Args:
        endpoints: The nodes.
        chain_id: Theirs.
        now_ns: The clock.
    """

    def __init__(self, endpoints: Sequence[str], chain_id: int, now_ns: Callable[[], int]) -> None:
        self.client = ChainClient(list(endpoints), chain_id)
        self._now_ns = now_ns
        self._network: NetworkKind | None = None
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def close(self) -> None:
        await self.client.close()

    async def network(self) -> NetworkKind:
        """What kind of chain it is; connects the first time.

        Raises:
            InputError: The nodes serve another chain.
            VenueUnavailable: No node answers.
        """
        if self._network is None:
            await self.client.connect()
            self._network = await identify(self.client)
        return self._network

    async def at_head(self, tokens: Sequence[str], *, all_pools: bool = False) -> OpenMarket:
        """Give the pools between the tokens the chain is known for and those named, at the newest block.

        Args:
            tokens: As people name them; addresses are looked up.
            all_pools: Also pools that no router reaches.

        Raises:
            InputError: A chain whose contracts are not known here, or an address that is no token.
            VenueUnavailable: No node answers in time, or too many ask at once; asking again is safe.
        """
        if self._waiting >= WAITING_MAX:
            raise VenueUnavailable("too many quotes are asked for at once", hint="ask again in a moment")
        self._waiting += 1
        try:
            async with asyncio.timeout(READ_S), self._turn:
                return await self._read(tokens, all_pools=all_pools)
        except TimeoutError as exc:
            raise VenueUnavailable(f"the pools could not be read within {READ_S:g} s", hint="ask again") from exc
        finally:
            self._waiting -= 1

    async def _read(self, tokens: Sequence[str], *, all_pools: bool) -> OpenMarket:
        network = await self.network()
        named = addresses_among(tokens)
        key = ("all" if all_pools else "routers", *named)
        deployment = deployment_for(self.client, network)
        kept = self._kept.get(key)
        if kept is None or self._now_ns() - kept.found_ns > DISCOVERY_NS:
            found_ns = self._now_ns()
            kept = self._kept[key] = _Kept(await discover(self.client, deployment, named), found_ns)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        head = await self.client.head()
        if kept.market is None or kept.market.market.block_hash != head.hash:
            market = await load_market(self.client, kept.discovery, kinds=None if all_pools else ROUTER_KINDS)
            gas = await gas_terms(self.client, deployment.l1_fee)
            kept.market = OpenMarket(self.client, network, kept.discovery, market, gas)
        return kept.market
