"""Keccak-256 and EIP-55 addresses."""

from __future__ import annotations

import re
from functools import lru_cache

from eth_hash.auto import keccak as _keccak

from domain.errors import InputError
from domain.ids import Address

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def keccak256(data: bytes) -> bytes:
    """Hash with Keccak-256 (the original padding, not SHA3-256)."""
    return bytes(_keccak(data))


@lru_cache(maxsize=4096)
def checksum(address: str) -> Address:
    """Write a 20-byte hex address in EIP-55 form.

    Mixed case is taken as given and not verified: nodes answer in any case. What a person typed goes through
    `parse_address`.

    Raises:
        InputError: Not an address.
    """
    if not _ADDRESS.fullmatch(address):
        raise InputError(f"not an EVM address: {address!r}")
    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    return Address("0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(digits, digest, strict=False)))


def parse_address(text: str) -> Address:
    """Read an address a person gave; a mixed-case one must carry its right EIP-55 checksum.

    Raises:
        InputError: Not an address, or its checksum does not hold (a letter was mistyped).
    """
    address = checksum(text)
    digits = text[2:]
    if text != address and digits != digits.lower() and digits != digits.upper():
        raise InputError(f"address {text} fails its EIP-55 checksum", hint="Copy the address again.")
    return address
