"""What the arbitrage commands stand on: a chain's contracts, its pools, and the executor's address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain import ChainClient
from chain.network import NetworkKind
from cli.dex.devnet_policy import Allowances
from cli.dex.market import deployment_for
from dex.arbitrage.deployment import DEPLOYER, Roles, deployed_address, deployment_data, known_venues
from dex.arbitrage.funding import Venues, read_lenders
from dex.arbitrage.searcher import Searcher
from dex.discovery import Discovery, discover
from dex.pools import PoolSpec
from dex.replicas.base import PoolReplica
from domain import Address, Asset, ChainId, InputError

DEPLOYMENT: Final = Allowances(contracts={DEPLOYER: ("deployArbExecutor",)})
"""What a devnet's policy allows so that an executor can be deployed."""


def execution_of(executor: Address) -> Allowances:
    """What a devnet's policy allows so that an executor can be used; deploying it is part of that."""
    return Allowances(contracts={**DEPLOYMENT.contracts, executor: ("execute",)}, recipients=(executor,))


@dataclass(frozen=True, slots=True)
class ArbPlace:
    """A chain as arbitrage sees it."""

    discovery: Discovery
    account: Address
    pools: tuple[PoolSpec, ...]
    """Those with replicas: pools that only the chain can quote are left out."""
    venues: Venues
    deployment: bytes
    """Of an executor whose roles are all the account's."""

    @property
    def default_executor(self) -> Address:
        """Where that executor stands, or would stand."""
        return deployed_address(self.deployment)

    def start_tokens(self, symbols: Sequence[str]) -> tuple[Asset, ...]:
        """Find what cycles may begin with; the wrapped coin unless others are named.

        Raises:
            InputError: No such token, or the chain's own coin.
        """
        found = tuple(self.discovery.token(symbol) for symbol in symbols) or (self.discovery.wrapped,)
        if self.discovery.deployment.native in found:
            raise InputError("a cycle begins with a token", hint=f"say {self.discovery.wrapped.symbol} for the coin")
        return found

    def searcher(self, replicas: dict[str, PoolReplica], start: Sequence[Asset], *, legs_max: int) -> Searcher:
        """Make a searcher over all pools."""
        return Searcher(
            self.pools,
            replicas,
            self.discovery.wrapped,
            self.discovery.deployment.wrapped,
            [token.id for token in start],
            legs_max=legs_max,
        )

    async def refresh_lenders(
        self, client: ChainClient, searcher: Searcher, executor: Address, start: Sequence[Asset]
    ) -> None:
        """Read anew who could lend what cycles begin with."""
        for token in start:
            address = self.discovery.tokens[token.id].address
            searcher.lenders[token.id] = await read_lenders(client, executor, self.venues, address, self.pools)


async def open_place(client: ChainClient, network: NetworkKind, account: Address) -> ArbPlace:
    """Find a chain's pools and contracts.

    Raises:
        InputError: A chain whose contracts are not known, or one without pools.
    """
    deployment = deployment_for(client, network)
    discovery = await discover(client, deployment)
    pools = tuple(pool for pool in discovery.pools if not pool.is_by_call)
    if not pools:
        raise InputError(f"no pools were found on chain {client.chain_id}")
    contracts = await _standing(client, await _contracts(client, network))
    venues, factories = known_venues(contracts, deployment.wrapped)
    return ArbPlace(discovery, account, pools, venues, deployment_data(roles_of(account), venues, factories))


def roles_of(account: Address) -> Roles:
    """All roles in one hand."""
    return Roles(owner=account, operator=account, pauser=account, beneficiary=account)


async def _contracts(client: ChainClient, network: NetworkKind) -> dict[str, str]:
    if network is NetworkKind.DEVNET:
        from chain.devnet import CANONICAL

        return dict(CANONICAL)
    from chain.networks import network_of

    found = network_of(ChainId(client.chain_id))
    return dict(found.contracts) if found is not None else {}


async def _standing(client: ChainClient, contracts: dict[str, str]) -> dict[str, str]:
    """Keep what has code: an executor must not trust an address where somebody may put something later."""
    codes = await client.batch([("eth_getCode", [address, "latest"]) for address in contracts.values()])
    return {name: address for (name, address), code in zip(contracts.items(), codes, strict=True) if code != "0x"}
