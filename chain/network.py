"""What kind of network a client is connected to, and so which keys may be used there."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import aiohttp

from chain.client import ChainClient
from chain.devnet.accounts import DEVNET_GENESIS_HASH, is_test_address
from chain.errors import NodeRefused
from domain.errors import InputError, Refused, VenueUnavailable
from domain.ids import ChainId

TESTNETS: Final = frozenset(
    ChainId(n)
    for n in (
        11155111,  # Sepolia
        17000,  # Holesky
        560048,  # Hoodi
        11155420,  # OP Sepolia
        84532,  # Base Sepolia
        421614,  # Arbitrum Sepolia
        80002,  # Polygon Amoy
        97,  # BNB testnet
        43113,  # Avalanche Fuji
    )
)


class NetworkKind(StrEnum):
    """How much harm a mistake does."""

    DEVNET = "devnet"
    """Ours, local: anvil on the devnet's own genesis."""
    TESTNET = "testnet"
    """Public, coins without a price."""
    LIVE = "live"
    """Anything else, also what we do not know."""


async def identify(client: ChainClient) -> NetworkKind:
    """Tell the kind of network; the client has checked the chain id already.

    A devnet is known by three things at once: the node calls itself anvil, block 0 is the devnet's own, and the chain
    id is the configured one. The chain id alone proves nothing: a devnet may run with chain id 1.
    """
    version, genesis = await client.batch([("web3_clientVersion", ()), ("eth_getBlockByNumber", ["0x0", False])])
    is_anvil = isinstance(version, str) and version.lower().startswith("anvil/")
    if is_anvil and not isinstance(genesis, NodeRefused) and genesis and genesis["hash"] == DEVNET_GENESIS_HASH:
        return NetworkKind.DEVNET
    return NetworkKind.TESTNET if client.chain_id in TESTNETS else NetworkKind.LIVE


def ensure_keys_fit(kind: NetworkKind, addresses: tuple[str, ...]) -> None:
    """Refuse public test keys anywhere but on a devnet, and any other key on one.

    Raises:
        Refused: A key does not belong to this kind of network.
    """
    for address in addresses:
        if kind is NetworkKind.DEVNET and not is_test_address(address):
            raise Refused(
                f"{address} is not a test account; a devnet takes no others",
                rule="devnet_keys",
                hint="A signature made with chain id 1 on a devnet is valid on mainnet. Use TEST_MNEMONIC.",
            )
        if kind is not NetworkKind.DEVNET and is_test_address(address):
            raise Refused(
                f"{address} is a public test account and this network is {kind}",
                rule="test_keys",
                hint="Everybody knows its key: funds sent there are lost.",
            )


async def chain_id_at(url: str) -> ChainId:
    """Ask a node which chain it serves, before anything else is known of it.

    Raises:
        InputError: Not an HTTP address.
        VenueUnavailable: No node answers there.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"not an HTTP RPC URL: {url.partition('@')[2] or url!r}")
    where = url.partition("://")[2].rpartition("@")[2].partition("/")[0]  # Keys stand in paths and before the @.
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5, sock_connect=2)) as session,
            session.post(url, json=question) as response,
        ):
            answer = await response.json(content_type=None)
            return ChainId(int(answer["result"], 16))
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise VenueUnavailable(
            f"no node answers at {where}: {type(exc).__name__}", hint="Start one with `capstan chain devnet`."
        ) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise VenueUnavailable(f"{where} is not an Ethereum node", hint="Correct the RPC URL.") from exc
