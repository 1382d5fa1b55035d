"""RFC 6979, section 3.2: the nonce of a deterministic signature, step by step. The oracle of our signer."""

from __future__ import annotations

import hmac


def nonce(key: int, digest: bytes, order: int) -> int:
    """Derive k for a key and a digest of 32 bytes, on a curve whose order has 256 bits, with HMAC-SHA256."""
    seed = key.to_bytes(32, "big") + (int.from_bytes(digest, "big") % order).to_bytes(32, "big")
    v, k = b"\x01" * 32, b"\x00" * 32
    for separator in (b"\x00", b"\x01"):
        k = hmac.digest(k, v + separator + seed, "sha256")
        v = hmac.digest(k, v, "sha256")
    while True:
        v = hmac.digest(k, v, "sha256")
        if 0 < (candidate := int.from_bytes(v, "big")) < order:
            return candidate
        k = hmac.digest(k, v + b"\x00", "sha256")
        v = hmac.digest(k, v, "sha256")
