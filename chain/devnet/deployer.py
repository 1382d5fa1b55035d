"""Puts contracts where they shall stand, and sends the transactions that set them up.

A contract comes to stand at a chosen address the way forge's `deployCodeTo` does it: its creation code is put there
as if it were the deployed one, an `eth_call` yields the runtime (immutables filled in), one real transaction lets the
constructor write its storage, and the runtime takes the place of the creation code. So `address(this)`, storage and
immutables are what a real deployment would give, and pools created through the factories get mainnet's addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chain.client import ChainClient
from chain.devnet.artifacts import creation_code
from chain.devnet.world import CANONICAL
from chain.keccak import checksum, keccak256
from chain.records import Receipt
from domain.errors import InvariantError
from domain.ids import Address

DEPLOYER: Final = checksum("0x" + keccak256(b"capstan devnet deployer")[12:].hex())
"""Owns the factories and the seeded liquidity. Nobody has its key: the node lets us impersonate it."""

_GAS_LIMIT: Final = 15_000_000
_GAS_PRICE_WEI: Final = 2 * 10**9


class Deployer:
    """Sends the deployer's transactions, one block each, with fixed gas and fees so that every run is the same."""

    def __init__(self, client: ChainClient, artifacts: Path) -> None:
        self.client = client
        self.artifacts = artifacts
        self.contracts: dict[str, Address] = {}
        """What stands where, by name."""
        self._nonce = 0

    async def prepare(self) -> None:
        """Make the deployer rich and the blocks' times reproducible. The node must mine each transaction at once."""
        ask = self.client.rpc.request
        # Block times count up by one second, whatever the machine's speed: state roots are reproducible.
        await ask("anvil_setBlockTimestampInterval", 1)
        await ask("anvil_impersonateAccount", DEPLOYER)
        await ask("anvil_setBalance", DEPLOYER, hex(10**7 * 10**18))

    async def finish(self) -> None:
        """Let block times follow the clock again."""
        await self.client.rpc.request("anvil_removeBlockTimestampInterval")

    async def place(
        self, name: str, arguments: bytes = b"", *, artifact: str = "", libraries: Mapping[str, str] | None = None
    ) -> Address:
        """Deploy a contract at its canonical address."""
        creation = creation_code(artifact or name, self.artifacts, libraries)
        return await self.place_creation(name, creation + arguments)

    async def place_creation(self, name: str, creation: bytes) -> Address:
        """Run creation code at a contract's canonical address."""
        address = await self.place_runtime(name, creation)
        runtime = await self.client.call(address, b"", sender=DEPLOYER)
        await self.send(address, b"", what=f"constructor of {name}")
        await self.client.rpc.request("anvil_setCode", address, "0x" + runtime.hex())
        return address

    async def place_runtime(self, name: str, runtime: bytes) -> Address:
        """Put deployed code, whose constructor has run or need not run, at its canonical address."""
        address = checksum(CANONICAL[name])
        # EIP-161: a contract starts with nonce 1, so what its constructor creates gets mainnet's address too.
        await self.client.rpc.request("anvil_setNonce", address, "0x1")
        await self.client.rpc.request("anvil_setCode", address, "0x" + runtime.hex())
        self.contracts[name] = address
        return address

    async def create(self, name: str, arguments: bytes = b"", *, libraries: Mapping[str, str] | None = None) -> Address:
        """Deploy a contract whose address is of no interest."""
        creation = creation_code(name, self.artifacts, libraries)
        receipt = await self.send(None, creation + arguments, what=f"deploy {name}")
        if receipt.created is None:
            raise InvariantError(f"devnet: {name} was not created")
        return receipt.created

    async def send(self, to: str | None, data: bytes, *, value_wei: int = 0, what: str) -> Receipt:
        """Send a transaction and see it mined; `to` None creates a contract.

        Raises:
            InvariantError: It reverted; `what` says which it was.
        """
        request: dict[str, Any] = {
            "from": DEPLOYER,
            "data": "0x" + data.hex(),
            "value": hex(value_wei),
            "nonce": hex(self._nonce),
            "gas": hex(_GAS_LIMIT),
            "gasPrice": hex(_GAS_PRICE_WEI),
        }
        if to is not None:
            request["to"] = to
        tx_hash = await self.client.rpc.request("eth_sendTransaction", request)
        self._nonce += 1
        receipt = await self.client.wait_receipt(tx_hash, timeout_s=10, poll_s=0.002)
        if not receipt.succeeded:
            raise InvariantError(f"devnet: {what} reverted")
        return receipt
