"""The devnet's test keys. TEST ONLY: everybody knows this mnemonic, robots empty its accounts on public chains.

The platform uses them where `chain.network.identify` says DEVNET and refuses them anywhere else.
"""

from __future__ import annotations

from typing import Final

from chain.keccak import checksum
from domain.ids import Address

TEST_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The public default of anvil and hardhat. TEST ONLY."""

TEST_PATH: Final = "m/44'/60'/0'/0/{index}"
"""BIP-44 path of test account `index`."""

TEST_ADDRESSES: Final[tuple[Address, ...]] = tuple(
    checksum(address)
    for address in (
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
        "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "0x976ea74026e726554db657fa54763abd0c3a0aa9",
        "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
    )
)
"""The first ten accounts of `TEST_MNEMONIC`; the node gives each 10,000 ETH."""

_KNOWN: Final = frozenset(TEST_ADDRESSES)

GENESIS_TIME_S: Final = 1_751_328_017
"""The devnet's first block (2025-07-01 00:00:17 UTC). An odd second on purpose: it makes the genesis hash ours."""

DEVNET_GENESIS_HASH: Final = "0x7d910b65be7b11a7ecbccef946158fb6436d8cfbfd5319a7182b938f7f67b643"
"""Hash of block 0 as `capstan chain devnet` starts it; the same for every chain id."""


def is_test_address(address: str) -> bool:
    """Tell whether an address is one of the public test accounts."""
    return checksum(address) in _KNOWN
