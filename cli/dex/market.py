"""What the dex commands share: a node's pools as a market, and tokens as people name them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chain import ChainClient, parse_address
from chain.network import NetworkKind, chain_id_at, identify
from dex.discovery import Deployment, Discovery, devnet_deployment, discover
from dex.routing import Market
from dex.routing.loading import load_market
from domain import InputError


@dataclass(frozen=True, slots=True)
class OpenMarket:
    """A connected node with what was found there."""

    client: ChainClient
    network: NetworkKind
    discovery: Discovery
    market: Market


@asynccontextmanager
async def open_market(rpc_url: str, tokens: Sequence[str]) -> AsyncIterator[OpenMarket]:
    """Connect to a node, find the pools between the tokens it is known for and those named, and read them.

    Raises:
        InputError: A chain whose contracts are not known here, or an address that is no token.
        VenueUnavailable: No node answers.
    """
    async with ChainClient([rpc_url], await chain_id_at(rpc_url)) as client:
        network = await identify(client)
        deployment = deployment_for(client, network)
        named = [parse_address(text) for text in tokens if text.lower().startswith("0x") and int(text, 16)]
        discovery = await discover(client, deployment, named)
        yield OpenMarket(client, network, discovery, await load_market(client, discovery))


def deployment_for(client: ChainClient, network: NetworkKind) -> Deployment:
    """Say where a chain's exchanges stand.

    Raises:
        InputError: Nobody told.
    """
    if network is NetworkKind.DEVNET:
        return devnet_deployment(client.chain_id)
    raise InputError(f"chain {client.chain_id} is not known here", hint="Start a devnet with `capstan chain devnet`.")
