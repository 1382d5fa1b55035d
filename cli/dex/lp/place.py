"""Where `capstan dex lp` works: a chain to read, and the desk that signs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chain import ChainClient, parse_address
from chain.devnet import CANONICAL, TEST_ADDRESSES
from chain.network import NetworkKind, chain_id_at, identify
from chain.networks import network_of
from cli.dex.devnet_policy import Allowances
from cli.dex.options import DeskPlace
from dex.liquidity import PositionContracts, PositionReader
from dex.liquidity.naming import PoolNames
from domain import Address, InputError

METHODS = ("mint", "increaseLiquidity", "decreaseLiquidity", "collect")


@dataclass(frozen=True, slots=True)
class Places:
    """A chain's position contracts, and ways to ask for what they hold."""

    client: ChainClient
    owner: Address
    contracts: PositionContracts
    reader: PositionReader
    pools: PoolNames


@asynccontextmanager
async def open_reading(place: DeskPlace, owner: str = "") -> AsyncIterator[Places]:
    """Connect for reading only: no desk, no key, no books."""
    url, chain_id, account = await _node(place)
    async with ChainClient(url, chain_id) as client:
        yield await places_of(client, await identify(client), parse_address(owner) if owner else account)


async def places_of(client: ChainClient, network: NetworkKind, owner: Address) -> Places:
    """Find a chain's position contracts.

    Raises:
        InputError: A chain whose contracts are not known.
    """
    if network is NetworkKind.DEVNET:
        contracts: Mapping[str, Address] = {name: Address(text) for name, text in CANONICAL.items()}
        tokens = {name.removesuffix("9"): contracts[name] for name in ("WETH9", "USDC", "WBTC", "DAI", "USDT")}
        coin = "ETH"
    else:
        known = network_of(client.chain_id)
        if known is None:
            raise InputError(f"chain {client.chain_id} is not known here", hint="See `capstan chain networks`.")
        wrapped = known.tokens[known.coin.wrapped].address
        contracts = {**known.contracts, "WETH9": wrapped}
        tokens = {symbol: token.address for symbol, token in known.tokens.items()}
        coin = known.coin.symbol
    kept = PositionContracts.named(contracts)
    return Places(client, owner, kept, PositionReader(client, kept), PoolNames(client, kept, tokens, coin))


def allowances(contracts: PositionContracts) -> Allowances:
    """What a devnet's policy must allow for positions."""
    managers = {contracts.v3: METHODS, contracts.v4: ("modifyLiquidities",)}
    allowed = {address: methods for address, methods in managers.items() if address is not None}
    return Allowances(contracts=allowed, spenders=tuple(allowed))


def devnet_allowances() -> Allowances:
    """The same, of the addresses that every devnet has."""
    return allowances(PositionContracts.named({name: Address(text) for name, text in CANONICAL.items()}))


async def _node(place: DeskPlace) -> tuple[list[str], int, Address]:
    if (place.config is None) == (not place.rpc_url):
        raise InputError("give either --config or --rpc-url", hint="--rpc-url alone works on a devnet.")
    if place.config is None:
        return [place.rpc_url], await chain_id_at(place.rpc_url), TEST_ADDRESSES[place.account]
    from cli.settings import load_settings

    settings = load_settings(place.config)
    if settings.chain is None or settings.custody is None:
        raise InputError(f"{place.config} has no [chain] and [custody]")
    urls = [os.path.expandvars(url) for url in settings.chain.endpoints]
    return urls, settings.chain.chain_id, parse_address(settings.custody.account)
