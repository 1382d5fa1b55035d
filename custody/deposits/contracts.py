"""The contracts that custody deploys: their code, their addresses, the calls that are made of them.

The code is built from contracts/src and kept beside this package (`scripts/contract-bytecode`), so that an installed
platform needs neither forge nor node. Addresses are computed here as the chain would: nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chain import checksum, keccak256
from chain.abi import Dynamic, address_word, compose, selector, topic, uint_word
from chain.shipped import shipped_code
from domain import Address, InputError

_CODE: Final = Path(__file__).parents[1] / "bytecode"
COIN: Final = checksum("0x" + "00" * 20)
"""Stands for the chain's coin where a token is named."""

RECEIVED: Final = topic("Received(address,uint256)")
SWEPT: Final = topic("Swept(bytes32,address,address,uint256,uint256)")
SWEEP_FAILED: Final = topic("SweepFailed(uint256,bytes32,address,uint256,bytes)")
_SWEEP_MANY: Final = selector("sweep((bytes32,address,uint256)[])")

# ForwarderClone.sol has the same bytes, commented.
_CLONE_HEAD: Final = bytes.fromhex("605c8060095f395ff336602e57345f52337f") + bytes.fromhex(RECEIVED[2:])
_CLONE_MIDDLE: Final = bytes.fromhex("60205fa2005b365f5f375f5f365f73")
_CLONE_TAIL: Final = bytes.fromhex("5af43d5f5f3e6058573d5ffd5b3d5ff3")


@dataclass(frozen=True, slots=True)
class SweepItem:
    """What a batch takes from one forwarder: `raw` smallest units of a token (`COIN`: wei)."""

    user_id: bytes
    token: Address
    raw: int


@dataclass(frozen=True, slots=True)
class VaultRoles:
    """Who holds a guarded vault; three different addresses."""

    admin: Address
    operator: Address
    guardian: Address


def contract_code(name: str) -> bytes:
    """Give a contract's creation code, before its constructor's arguments.

    Raises:
        InputError: There is no such contract.
    """
    return shipped_code(_CODE, name)


def factory_creation(vault: Address) -> bytes:
    """Creation code of a `DepositForwarderFactory` that pays to `vault`, for ever."""
    return contract_code("DepositForwarderFactory") + address_word(vault)


def forwarder_creation(vault: Address) -> bytes:
    """Creation code of the `DepositForwarder` that a factory's constructor creates."""
    return contract_code("DepositForwarder") + address_word(vault)


def sweeper_creation(factory: Address) -> bytes:
    """Creation code of a `BatchSweeper` for a factory that stands already."""
    return contract_code("BatchSweeper") + address_word(factory)


def vault_creation(roles: VaultRoles, delay_s: int, limits: Sequence[tuple[Address, int]]) -> bytes:
    """Creation code of a `GuardedVault`: its roles, its delay, and what may leave in 24 hours by token (or `COIN`)."""
    listed = uint_word(len(limits)) + b"".join(address_word(asset) + uint_word(limit) for asset, limit in limits)
    holders = b"".join(map(address_word, (roles.admin, roles.operator, roles.guardian)))
    return contract_code("GuardedVault") + compose(holders, uint_word(delay_s), Dynamic(listed))


def user_id(name: str) -> bytes:
    """Name a deposit account to the factory: a hash, so that the chain learns nothing about whose it is."""
    return keccak256(b"capstan deposit account\x00" + name.encode())


def implementation_address(factory: Address) -> Address:
    """Where a factory's constructor put the forwarder's code: its first CREATE, with nonce 1."""
    # RLP of [address, 1].
    return checksum("0x" + keccak256(b"\xd6\x94" + bytes.fromhex(factory[2:]) + b"\x01")[12:].hex())


def clone_code_hash(factory: Address) -> bytes:
    """Hash of a factory's forwarders' creation code: the same for all of its users."""
    implementation = bytes.fromhex(implementation_address(factory)[2:])
    return keccak256(_CLONE_HEAD + _CLONE_MIDDLE + implementation + _CLONE_TAIL)


def forwarder_address(factory: Address, account: bytes) -> Address:
    """Compute the deposit address that `forwarderOf` of the factory would answer.

    Raises:
        InputError: Not a user id: 32 bytes, not all zero.
    """
    if len(account) != 32 or not any(account):
        raise InputError("a user id is 32 bytes, not all of them zero")
    salt = keccak256(account)
    return checksum("0x" + keccak256(b"\xff" + bytes.fromhex(factory[2:]) + salt + clone_code_hash(factory))[12:].hex())


def sweep_call(items: Sequence[SweepItem]) -> bytes:
    """Encode `BatchSweeper.sweep`.

    Raises:
        InputError: No items, or an amount that is no uint256.
    """
    if not items:
        raise InputError("a sweep needs at least one item")
    packed = b"".join(item.user_id + address_word(item.token) + uint_word(item.raw) for item in items)
    return _SWEEP_MANY + compose(Dynamic(uint_word(len(items)) + packed))
