"""From a token's raw ECDSA output to a signature that Ethereum takes."""

from __future__ import annotations

from capstan_native import complete_signature

from domain import InvariantError
from wallets.payloads import Signature


def complete(raw: bytes, digest: bytes, public_key: bytes) -> Signature:
    """Make s low (half of a token's signatures are not) and find the parity that recovers to the key.

    Args:
        raw: r and s, 32 bytes each.
        digest: What was signed.
        public_key: 65 bytes, uncompressed.

    Raises:
        InvariantError: It recovers to another key: the device is faulty, or the halves do not belong together.
    """
    try:
        signed = complete_signature(raw, digest, public_key[1:])
    except ValueError as exc:
        raise InvariantError(f"the token's signature has {len(raw)} bytes, 64 were expected") from exc
    except ArithmeticError as exc:
        raise InvariantError("the token's signature does not recover to its key") from exc
    return Signature(int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:64], "big"), signed[64])
