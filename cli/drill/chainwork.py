"""What the world around the installation does on the devnet: pays in, gives gas, lets blocks pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from chain import ChainClient
from chain.abi import address_word, selector, uint_word
from chain.devnet import TEST_ADDRESSES, DevnetWorld
from domain import Address

_T = TypeVar("_T")
DEPLOYER, PAYER, RECIPIENT = TEST_ADDRESSES[0], TEST_ADDRESSES[1], TEST_ADDRESSES[8]
FINAL_BLOCKS = 100
"""More than a devnet's finalized block lies behind its newest."""


class World:
    """The devnet as everybody else sees it."""

    def __init__(self, world: DevnetWorld) -> None:
        self.book = world
        self.usdc = world.tokens["USDC"].address

    def with_client(self, work: Callable[[ChainClient], Awaitable[_T]]) -> _T:
        """Do something with a connection of its own."""

        async def run() -> _T:
            async with ChainClient([self.book.rpc_url], self.book.chain_id) as client:
                return await work(client)

        return asyncio.run(run())

    def give_gas(self, *accounts: Address) -> None:
        """Give accounts one coin each."""

        async def work(client: ChainClient) -> None:
            for account in accounts:
                await client.rpc.request("anvil_setBalance", account, hex(10**18))

        self.with_client(work)

    def pay_in(self, to: Address, raw: int) -> str:
        """Send USDC from a stranger's account, which the node holds; gives the transaction's hash."""

        async def work(client: ChainClient) -> str:
            minted = selector("mint(address,uint256)") + address_word(PAYER) + uint_word(raw)
            await _send(client, DEPLOYER, self.usdc, minted)
            paid = selector("transfer(address,uint256)") + address_word(to) + uint_word(raw)
            return await _send(client, PAYER, self.usdc, paid)

        return self.with_client(work)

    def pass_blocks(self, count: int = FINAL_BLOCKS) -> None:
        """Let blocks pass."""

        async def work(client: ChainClient) -> Any:
            return await client.rpc.request("anvil_mine", hex(count))

        self.with_client(work)

    def usdc_of(self, account: Address) -> int:
        """What an account holds, in raw units."""
        return self.with_client(lambda client: client.token_balance(self.usdc, account))

    def nonce_of(self, account: Address) -> int:
        return self.with_client(lambda client: client.nonce(account))


async def _send(client: ChainClient, sender: Address, to: Address, data: bytes) -> str:
    request = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(200_000)}
    tx_hash = str(await client.rpc.request("eth_sendTransaction", request))
    await client.wait_receipt(tx_hash, timeout_s=10, poll_s=0.01)
    return tx_hash
