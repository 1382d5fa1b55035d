"""Our own contracts for trading on a chain: their code, and what they are built with.

The code is built from contracts/src and kept in `dex/bytecode` (`scripts/contract-bytecode`), so that an installed
platform needs neither forge nor node. Lenses are not here: they are read with, never deployed (`dex.replicas.lens`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chain import keccak256, parse_address
from chain.abi import address_word
from chain.shipped import shipped_code
from domain.errors import InputError
from domain.ids import Address

_CODE: Final = Path(__file__).parent / "bytecode"

V2_INIT_CODE_HASH: Final = bytes.fromhex("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f")
"""Of Uniswap V2's pairs, on every chain that has Uniswap's own bytecode."""
V3_INIT_CODE_HASH: Final = bytes.fromhex("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54")
"""Of Uniswap V3's pools, likewise."""
_NOWHERE: Final = Address("0x0000000000000000000000000000000000000000")


@dataclass(frozen=True, slots=True)
class ExecutorVenues:
    """Where a chain has what arbitrage goes through; the zero address where it lacks one."""

    weth: Address
    v2_factory: Address = _NOWHERE
    v3_factory: Address = _NOWHERE
    pool_manager: Address = _NOWHERE
    aave_pool: Address = _NOWHERE
    balancer_vault: Address = _NOWHERE
    v2_init_code_hash: bytes = V2_INIT_CODE_HASH
    v3_init_code_hash: bytes = V3_INIT_CODE_HASH

    def words(self) -> bytes:
        """Give the struct `Venues` of IArbExecutor as the ABI has it."""
        return b"".join(
            (
                address_word(self.weth),
                address_word(self.v2_factory),
                self.v2_init_code_hash,
                address_word(self.v3_factory),
                self.v3_init_code_hash,
                address_word(self.pool_manager),
                address_word(self.aave_pool),
                address_word(self.balancer_vault),
            )
        )


@dataclass(frozen=True, slots=True)
class ExecutorRoles:
    """Who holds an executor: the owner sweeps and names the others, profits go to the beneficiary."""

    owner: Address
    operator: Address
    beneficiary: Address
    pauser: Address = _NOWHERE


def contract_code(name: str) -> bytes:
    """Give a contract's creation code, before its constructor's arguments.

    Raises:
        InputError: There is no such contract.
    """
    return shipped_code(_CODE, name)


def executor_creation(roles: ExecutorRoles, venues: ExecutorVenues) -> bytes:
    """Creation code of an `ArbExecutor`.

    Raises:
        InputError: Owner, operator or beneficiary is nobody; the contract would refuse that too.
    """
    for name in ("owner", "operator", "beneficiary"):
        if parse_address(getattr(roles, name)) == _NOWHERE:
            raise InputError(f"an executor needs its {name}")
    people = (roles.owner, roles.operator, roles.pauser, roles.beneficiary)
    return contract_code("ArbExecutor") + b"".join(map(address_word, people)) + venues.words()


def pair_address_v2(factory: Address, token_a: Address, token_b: Address, *, init_code_hash: bytes) -> Address:
    """Derive a V2 pair's address (CREATE2), as the executor does."""
    return _derive(factory, keccak256(b"".join(_packed(token) for token in _sorted(token_a, token_b))), init_code_hash)


def pool_address_v3(
    factory: Address, token_a: Address, token_b: Address, fee_pips: int, *, init_code_hash: bytes
) -> Address:
    """Derive a V3 pool's address (CREATE2), as the executor does."""
    words = b"".join(address_word(token) for token in _sorted(token_a, token_b)) + fee_pips.to_bytes(32)
    return _derive(factory, keccak256(words), init_code_hash)


def _derive(factory: Address, salt: bytes, init_code_hash: bytes) -> Address:
    # EIP-1014.
    return parse_address("0x" + keccak256(b"\xff" + _packed(factory) + salt + init_code_hash)[12:].hex())


def _packed(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _sorted(a: Address, b: Address) -> tuple[Address, Address]:
    return (a, b) if int(a, 16) < int(b, 16) else (b, a)
