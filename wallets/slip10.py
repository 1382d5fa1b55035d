"""SLIP-10 for Ed25519: the tree of keys that BIP-32 cannot grow, because the curve's keys cannot be added up.

Every step is hardened, so there is no extended public key and nothing to watch: addresses are derived where the seed
is, and handed out in lots.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from domain import InputError

_PATH: Final = re.compile(r"m(/(0|[1-9][0-9]{0,9})')*")
_HARDENED: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Ed25519Node:
    """A private key (the seed of RFC 8032) and its chain code."""

    key: bytes = field(repr=False)
    chain_code: bytes = field(repr=False)


def derive_ed25519(seed: bytes, path: str) -> Ed25519Node:
    """Derive the node at a path of hardened steps (`m/44'/501'/0'/0'`).

    Raises:
        InputError: The seed has not 16 to 64 bytes, or the path has a step that is not hardened.
    """
    if not 16 <= len(seed) <= 64:
        raise InputError(f"a seed has 16 to 64 bytes, found {len(seed)}")
    steps = [int(part[:-1]) for part in path.split("/")[1:]] if _PATH.fullmatch(path) else None
    if steps is None or any(step >= _HARDENED for step in steps):
        raise InputError(f"not a path of hardened steps: {path!r}", hint="write it like m/44'/501'/0'/0'")
    node = _node(b"ed25519 seed", seed)
    for step in steps:
        node = _node(node.chain_code, b"\x00" + node.key + (_HARDENED + step).to_bytes(4, "big"))
    return node


def _node(key: bytes, data: bytes) -> Ed25519Node:
    digest = hmac.digest(key, data, "sha512")
    return Ed25519Node(digest[:32], digest[32:])
