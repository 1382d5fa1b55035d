"""A devnet with a relay, and people who sign: what the tests of private ways share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from chain import ChainClient
from chain.abi import address_word, selector, uint_word
from chain.devnet import TEST_MNEMONIC, TEST_PATH, Devnet
from chain.devnet.relay import Outcome, Relay, RelayServer, Status
from chain.paths import RelayRpc, SignText

Account.enable_unaudited_hdwallet_features()
PEOPLE: list[LocalAccount] = [
    Account.from_mnemonic(TEST_MNEMONIC, account_path=TEST_PATH.format(index=index)) for index in range(6)
]
SEARCHER: LocalAccount = Account.from_key(b"\x07" * 32)
"""The key a relay knows its user by. TEST ONLY."""


def signing(account: LocalAccount) -> SignText:
    async def sign(text: str) -> bytes:
        return bytes(account.sign_message(encode_defunct(text=text)).signature)

    return sign


class Lab:
    """One running relay on one devnet."""

    def __init__(self, devnet: Devnet, client: ChainClient, relay: Relay, server: RelayServer) -> None:
        self.devnet = devnet
        self.client = client
        self.relay = relay
        self.server = server

    def rpc(self, account: LocalAccount = SEARCHER, **options: Any) -> RelayRpc:
        return RelayRpc(self.server.url, account.address, signing(account), **options)

    def payment(self, sender: int, nonce: int, **fields: Any) -> bytes:
        """A signed transaction; a coin's smallest part to the fifth person if nothing else is said."""
        transaction = {
            "chainId": self.devnet.world.chain_id,
            "type": 2,
            "nonce": nonce,
            "gas": 150_000,
            "to": PEOPLE[5].address,
            "value": 1,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
        } | fields
        return bytes(PEOPLE[sender].sign_transaction(transaction).raw_transaction)

    def failing(self, sender: int, nonce: int) -> bytes:
        """A signed transaction that reverts: it moves tokens its sender has not got."""
        data = selector("transfer(address,uint256)") + address_word(PEOPLE[5].address) + uint_word(10**40)
        return self.payment(sender, nonce, to=self.devnet.world.tokens["USDC"].address, data=data, value=0)

    async def settled(self, name: str) -> Outcome:
        """What became of a bundle, once it is no longer held."""
        async with asyncio.timeout(60):
            while self.relay.outcomes[name].status is Status.HELD:
                await self.relay.look()
        return self.relay.outcomes[name]


@asynccontextmanager
async def open_lab(devnet: Devnet) -> AsyncIterator[Lab]:
    async with devnet.client() as client:
        relay = Relay(client, devnet.config.block_time_s)
        async with RelayServer(relay).serving() as server:
            yield Lab(devnet, client, relay, server)
