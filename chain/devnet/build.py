"""Builds the devnet's world: tokens, contracts at their mainnet addresses, pools with liquidity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chain.client import ChainClient
from chain.devnet import aave, balancer, smart_accounts, uniswap, uniswap4
from chain.devnet.deployer import Deployer
from chain.devnet.market import DECIMALS, Market
from chain.devnet.tokens import Tokens
from chain.devnet.world import PoolEntry, TokenEntry
from domain.ids import Address


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` made."""

    contracts: dict[str, Address]
    tokens: dict[str, TokenEntry]
    pools: tuple[PoolEntry, ...]


async def build(client: ChainClient, artifacts: Path, market: Market) -> Built:
    """Deploy everything and seed the pools. The node must mine each transaction at once."""
    to = Deployer(client, artifacts)
    await to.prepare()
    tokens = await Tokens.deploy(to)
    await uniswap.deploy(to)
    await uniswap4.deploy(to)
    await balancer.deploy(to)
    await aave.deploy(to)
    await smart_accounts.deploy(to)
    await tokens.fund(market)
    await tokens.approve(*uniswap.SPENDERS, "Permit2", "BalancerVault", "AavePool")
    await uniswap4.permit(to, tokens)
    pools = [await uniswap.seed_v2(to, tokens, seed, market) for seed in market.pairs]
    pools += [await uniswap.seed_v3(to, tokens, seed, market) for seed in market.v3]
    pools += [await uniswap4.seed_v4(to, tokens, seed, market) for seed in market.v4]
    pools += [await balancer.seed(to, tokens, seed, market) for seed in market.balancer]
    await aave.supply(to, tokens, market)
    await to.finish()
    known = {symbol: TokenEntry(tokens.address(symbol), decimals) for symbol, decimals in DECIMALS.items()}
    return Built(to.contracts, known, tuple(pools))
