"""Whose an ECDSA signature is. Reading only: nothing here can make one."""

from __future__ import annotations

from coincurve import PublicKey

from chain.keccak import checksum, keccak256
from domain.errors import InputError
from domain.ids import Address

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def recovered(digest: bytes, signature: bytes) -> Address:
    """Give the address whose key signed a digest: 65 bytes r, s, v with v 27 or 28, and s in the lower half.

    Raises:
        InputError: Malformed, or nobody's.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise InputError("a signature is 65 bytes: r, s and v, where v is 27 or 28")
    # EIP-2: of the two signatures that say the same, contracts take the one with the lower s.
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise InputError("the signature's s is in the upper half")
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        ).format(compressed=False)
    except ValueError as exc:
        raise InputError("the signature is nobody's") from exc
    return checksum("0x" + keccak256(key[1:])[12:].hex())
