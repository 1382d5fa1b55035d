"""Keys everyone knows: the accounts of the default mnemonic of anvil and Hardhat. They sign on devnets only."""

from __future__ import annotations

from functools import cache

from coincurve import PrivateKey

from domain import Address
from wallets.transactions import address_of

DEVNET_MNEMONIC = "test test test test test test test test test test test junk"
"""Published by Foundry and Hardhat; no secret, and worth nothing outside a devnet."""
_ACCOUNTS = 20


@cache
def published_addresses() -> frozenset[Address]:
    """The first addresses of the devnet mnemonic, derived here rather than copied."""
    from bip_utils import Bip32Slip10Secp256k1, Bip39SeedGenerator

    root = Bip32Slip10Secp256k1.FromSeed(Bip39SeedGenerator(DEVNET_MNEMONIC).Generate())
    parent = root.DerivePath("m/44'/60'/0'/0")
    keys = (parent.ChildKey(index).PrivateKey().Raw().ToBytes() for index in range(_ACCOUNTS))
    return frozenset(address_of(PrivateKey(key).public_key) for key in keys)


def is_published(address: Address) -> bool:
    """Whether everyone has this account's key."""
    return address in published_addresses()
