"""A bundle relay and block builder for a devnet, as Flashbots' public documentation describes one.

    relay = Relay(client, block_time_s=0)
    async with RelayServer(relay).serving() as server:
        print(server.url)  # eth_sendBundle, eth_callBundle, eth_sendPrivateTransaction, …

It really holds what it is given until the block it is for, puts it first in that block in the order given, and leaves
no trace of a bundle of which anything reverts that may not.
"""

from chain.devnet.relay.builder import Relay
from chain.devnet.relay.bundles import BUNDLE_BYTES_MAX, BUNDLE_TRANSACTIONS_MAX, Bundle, Outcome, Status
from chain.devnet.relay.server import RelayServer

__all__ = [
    "BUNDLE_BYTES_MAX",
    "BUNDLE_TRANSACTIONS_MAX",
    "Bundle",
    "Outcome",
    "Relay",
    "RelayServer",
    "Status",
]
