"""From a token's raw ECDSA output to a signature that Ethereum takes."""

from __future__ import annotations

from typing import Final

from coincurve import PublicKey

from domain import InvariantError
from wallets.payloads import Signature
from wallets.transactions import SECP256K1_ORDER

_HALF_ORDER: Final = SECP256K1_ORDER // 2


def complete(raw: bytes, digest: bytes, public_key: bytes) -> Signature:
    """Make s low (half of a token's signatures are not) and find the parity that recovers to the key.

    Args:
        raw: r and s, 32 bytes each.
        digest: What was signed.
        public_key: 65 bytes, uncompressed.

    Raises:
        InvariantError: It recovers to another key: the device is faulty, or the halves do not belong together.
    """
    if len(raw) != 64:
        raise InvariantError(f"the token's signature has {len(raw)} bytes, 64 were expected")
    s = int.from_bytes(raw[32:], "big")
    compact = raw if s <= _HALF_ORDER else raw[:32] + (SECP256K1_ORDER - s).to_bytes(32, "big")
    for parity in (0, 1):
        try:
            public = PublicKey.from_signature_and_message(compact + bytes([parity]), digest, hasher=None)
        except Exception:  # coincurve raises bare Exception when no key fits
            continue
        if public.format(compressed=False) == public_key:
            return Signature(int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big"), parity)
    raise InvariantError("the token's signature does not recover to its key")
