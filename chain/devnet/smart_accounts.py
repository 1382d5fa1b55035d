"""Accounts that are contracts, on the devnet: Safe 1.4.1 and ERC-4337; and Multicall3."""

from __future__ import annotations

from chain.abi import address_word
from chain.devnet.artifacts import multicall3_creation
from chain.devnet.deployer import Deployer


async def deploy(to: Deployer) -> None:
    """Put the contracts where mainnet has them; nobody owns them."""
    await to.place("SafeL2")
    await to.place("SafeProxyFactory")
    await to.place("SafeFallbackHandler")
    await to.place("SafeMultiSendCallOnly")
    entry_point = await to.place("EntryPoint")
    await to.place("SimpleAccountFactory", address_word(entry_point))
    await to.place_creation("Multicall3", multicall3_creation(to.artifacts))
