"""What the dex commands share: a node's pools as a market, and tokens as people name them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from chain import ChainClient, parse_address
from chain.network import NetworkKind, chain_id_at, identify
from chain.networks import network_of
from dex.discovery import Deployment, Discovery, devnet_deployment, discover, network_deployment
from dex.routing import Market, Quote, Router
from dex.routing.asking import quote_asking
from dex.routing.gas import GasTerms
from dex.routing.loading import ROUTER_KINDS, gas_terms, load_market
from dex.routing.paths import MAX_HOPS
from domain import Address, InputError


@dataclass(frozen=True, slots=True)
class OpenMarket:
    """A connected node with what was found there."""

    client: ChainClient
    network: NetworkKind
    discovery: Discovery
    market: Market
    gas: GasTerms

    async def quote(
        self, token_in: str, token_out: str, amount: int, *, is_exact_out: bool = False, max_hops: int = MAX_HOPS
    ) -> Quote:
        """Quote a swap between tokens as people name them.

        Raises:
            InputError: An unknown token, or the same twice.
            Refused: No route.
        """
        given, wanted = self.discovery.token(token_in), self.discovery.token(token_out)
        router = Router(self.market, gas=self.gas, max_hops=max_hops)
        return await quote_asking(self.client, self.discovery, router, given, wanted, amount, is_exact_out=is_exact_out)

    def within(self, kinds: Collection[str]) -> OpenMarket:
        """The same market with pools of these kinds only."""
        pools = {edge.pool.id: (edge.pool, edge.replica) for edge in self.market.edges if edge.pool.kind in kinds}
        market = Market(
            pools.values(),
            chain_id=self.market.chain_id,
            block_number=self.market.block_number,
            block_hash=self.market.block_hash,
            native=self.market.native,
            wrapped=self.market.wrapped,
        )
        known = tuple(pool for pool in self.discovery.pools if pool.kind in kinds)
        return replace(self, market=market, discovery=replace(self.discovery, pools=known))


@asynccontextmanager
async def open_market(rpc_url: str, tokens: Sequence[str], *, all_pools: bool = False) -> AsyncIterator[OpenMarket]:
    """Connect to a node, find the pools between the tokens it is known for and those named, and read them.

    Args:
        rpc_url: The node.
        tokens: As people name them; addresses are looked up.
        all_pools: Also pools that no router reaches.

    Raises:
        InputError: A chain whose contracts are not known here, or an address that is no token.
        VenueUnavailable: No node answers.
    """
    async with ChainClient([rpc_url], await chain_id_at(rpc_url)) as client:
        yield await read_market(client, await identify(client), tokens, all_pools=all_pools)


async def read_market(
    client: ChainClient, network: NetworkKind, tokens: Sequence[str], *, all_pools: bool = False
) -> OpenMarket:
    """Find and read the pools at a node that is connected already; otherwise as `open_market`."""
    deployment = deployment_for(client, network)
    discovery = await discover(client, deployment, addresses_among(tokens))
    market = await load_market(client, discovery, kinds=None if all_pools else ROUTER_KINDS)
    return OpenMarket(client, network, discovery, market, await gas_terms(client, deployment.l1_fee))


def addresses_among(tokens: Sequence[str]) -> list[Address]:
    """Give the tokens that are named by an address, but for zero: that stands for the chain's own coin.

    Raises:
        InputError: It begins as an address and is none.
    """
    found = {parse_address(text) for text in tokens if text.lower().startswith("0x")}
    return sorted(address for address in found if int(address, 16))


def deployment_for(client: ChainClient, network: NetworkKind) -> Deployment:
    """Say where a chain's exchanges stand.

    Raises:
        InputError: Nobody told.
    """
    if network is NetworkKind.DEVNET:
        return devnet_deployment(client.chain_id)
    known = network_of(client.chain_id)
    if known is None:
        raise InputError(
            f"the exchanges of chain {client.chain_id} are not known here",
            hint="`capstan chain networks` lists chains that are; `capstan chain devnet` starts one.",
        )
    return network_deployment(known)
