"""Whether an account on a chain has signed: a key's own signature, or what the contract at its address says.

Contracts are asked by EIP-1271. One that is not deployed yet proves itself by ERC-6492: its signature carries the call
that would deploy it, which is run with the question in one `eth_call`, so nothing happens on the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from chain.codec import function, parameters
from chain.errors import CallReverted
from chain.paths.signatures import recovered
from domain import InputError, VenueUnavailable
from domain.ids import Address

MULTICALL3: Final = Address("0xcA11bde05977b3631167028862bE2a173976CA11")
_IS_VALID: Final = function("isValidSignature(bytes32 hash, bytes signature) returns (bytes4)")
_AGGREGATE: Final = function(
    "aggregate3((address target, bool allowFailure, bytes callData)[] calls)"
    " returns ((bool success, bytes returnData)[])"
)
_WRAPPED: Final = parameters("address factory, bytes factoryCalldata, bytes signature")
_MAGIC: Final = bytes.fromhex("1626ba7e")
_WRAPPED_END: Final = bytes.fromhex("6492") * 16
SIGNATURE_BYTES_MAX: Final = 8_192


class ChainReader(Protocol):
    """What is asked of a chain; `chain.ChainClient` is one."""

    async def code(self, address: str) -> bytes: ...

    async def call(self, to: str | None, data: bytes) -> bytes: ...


async def has_signed(
    address: Address, digest: bytes, signature: bytes, *, chain_id: int, chains: Mapping[int, ChainReader]
) -> bool:
    """Whether the account at `address` on a chain vouches for a signature over `digest`.

    A plain account needs no chain to be asked; where the chain is known and has a contract there, the contract decides.

    Raises:
        InputError: Only a contract could have made this signature, and its chain is not configured here.
        VenueUnavailable: The chain does not answer.
    """
    chain = chains.get(chain_id)
    is_wrapped = signature[-32:] == _WRAPPED_END
    if chain is None:
        if is_wrapped or len(signature) != 65:
            raise InputError(f"contracts of chain {chain_id} cannot be asked here", hint="sign in on another chain")
        return is_key_of(address, digest, signature)
    has_code = bool(await chain.code(address))
    if is_wrapped:
        return await _is_vouched_for_once_deployed(chain, address, digest, signature[:-32], has_code=has_code)
    if has_code:
        return await _is_vouched_for(chain, address, digest, signature)
    return is_key_of(address, digest, signature)


def is_key_of(address: Address, digest: bytes, signature: bytes) -> bool:
    """Whether the key of a plain account made a signature: 65 bytes, s in the lower half, v of 27 or 28 (or 0 or 1)."""
    if signature[64:] in (b"\x00", b"\x01"):
        signature = signature[:64] + bytes([signature[64] + 27])
    try:
        return recovered(digest, signature) == address
    except InputError:
        return False


async def _is_vouched_for(chain: ChainReader, account: str, digest: bytes, signature: bytes) -> bool:
    try:
        return _says_yes(await chain.call(account, _IS_VALID.encode(digest, signature)))
    except CallReverted:
        return False


async def _is_vouched_for_once_deployed(
    chain: ChainReader, account: Address, digest: bytes, wrapped: bytes, *, has_code: bool
) -> bool:
    try:
        factory, deploy, signature = _WRAPPED.decode(wrapped)
    except InputError:
        return False
    if has_code and await _is_vouched_for(chain, account, digest, signature):
        return True
    # The factory may have to run although there is code (ERC-6492: a contract that must be brought up to date first).
    if not await chain.code(MULTICALL3):
        raise VenueUnavailable("this chain has no Multicall3, without which ERC-6492 cannot be checked")
    calls = [(factory, True, deploy), (account, True, _IS_VALID.encode(digest, signature))]
    try:
        (answers,) = _AGGREGATE.decode(await chain.call(MULTICALL3, _AGGREGATE.encode(calls)))
    except (CallReverted, InputError):
        return False
    is_answered, answer = answers[1]
    return is_answered and _says_yes(answer)


def _says_yes(answer: bytes) -> bool:
    # Exactly one word with the magic in front: an account without code answers with nothing at all.
    return len(answer) == 32 and answer == _MAGIC + bytes(28)
