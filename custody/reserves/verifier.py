"""Check a proof of reserves. Python's standard library is all it needs: read it, copy it, run it.

    python verifier.py root.json my-proof.json [more proofs…]

The exchange publishes root.json: per asset a Merkle root and the sum of what it owes. You get your proof from it, and
check that the balances in it are yours. Whoever hides a debt must leave somebody out, or make a sum too small; the
path from a leaf to the root shows either, because each node commits to the sums below it.

    leaf = SHA-256("capstan/reserves/leaf/v1" 00 | length, asset | length, user | salt | amount)
    node = SHA-256("capstan/reserves/node/v1" 00 | left hash | left sum | right hash | right sum)
    no leaf = SHA-256("capstan/reserves/empty/v1" 00), sum 0, until the leaves are a power of two

Lengths are 4 bytes, amounts and sums 48, big-endian and never negative; a salt is 32 random bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

SUM_BYTES = 48
EMPTY = (hashlib.sha256(b"capstan/reserves/empty/v1\x00").digest(), 0)


class ProofError(Exception):
    """The proof does not hold; the message says where."""


def leaf(asset: str, user: str, salt: bytes, raw: int) -> tuple[bytes, int]:
    """Hash what one user is owed of one asset; give it with its sum."""
    if len(salt) != 32:
        raise ProofError("a salt has 32 bytes")
    content = b"capstan/reserves/leaf/v1\x00"
    for text in (asset, user):
        content += len(text.encode()).to_bytes(4, "big") + text.encode()
    return hashlib.sha256(content + salt + amount(raw)).digest(), raw


def node(left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
    """Join two nodes; the sum of both goes on."""
    content = b"capstan/reserves/node/v1\x00" + left[0] + amount(left[1]) + right[0] + amount(right[1])
    return hashlib.sha256(content).digest(), left[1] + right[1]


def amount(raw: int) -> bytes:
    """Write an amount or sum; a negative one would let a sum shrink."""
    if raw < 0 or raw >= 1 << 8 * SUM_BYTES:
        raise ProofError(f"not an amount: {raw}")
    return raw.to_bytes(SUM_BYTES, "big")


def depth(users: int) -> int:
    """How many nodes lie above a leaf."""
    return max(users - 1, 0).bit_length()


def check_proof(
    root: dict[str, Any], proof: dict[str, Any], taken: set[tuple[str, int]] | None = None
) -> dict[str, int]:
    """Check one user's proof against the published root; give what it says the user is owed, by asset.

    Args:
        root: The contents of root.json.
        proof: The contents of the user's file.
        taken: Leaves that other proofs have used; a leaf proves one user's balance and no other's.

    Raises:
        ProofError: Anything does not hold.
    """
    taken = set() if taken is None else taken
    try:
        _expect(root["format"] == "capstan/reserves/v1", "this is not a root file")
        _expect(proof["format"] == "capstan/reserves-proof/v1", "this is not a proof")
        _expect(proof["build"] == root["build"], "the proof belongs to another root file")
        published = {entry["asset"]: entry for entry in root["assets"]}
        _expect(len(published) == len(root["assets"]), "an asset is published twice")
        found: dict[str, int] = {}
        for balance in proof["balances"]:
            asset, index, raw = balance["asset"], balance["index"], _number(balance["raw"])
            _expect(asset in published, f"{asset} is not published")
            _expect(asset not in found, f"{asset} is proven twice")
            users, path = published[asset]["users"], balance["path"]
            _expect(type(index) is int and 0 <= index < users, f"{asset}: there is no leaf {index}")
            _expect((asset, index) not in taken, f"{asset}: leaf {index} was used for another user")
            _expect(len(path) == depth(users), f"{asset}: the path has {len(path)} steps, not {depth(users)}")
            current = leaf(asset, proof["user"], bytes.fromhex(balance["salt"]), raw)
            for level, step in enumerate(path):
                sibling = (bytes.fromhex(step["hash"]), _number(step["sum"]))
                _expect(len(sibling[0]) == 32, "a hash has 32 bytes")
                current = node(sibling, current) if index >> level & 1 else node(current, sibling)
            _expect(current[0].hex() == published[asset]["root"], f"{asset}: the path does not lead to the root")
            _expect(current[1] == _number(published[asset]["sum"]), f"{asset}: the sum is not the published one")
            taken.add((asset, index))
            found[asset] = raw
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ProofError(f"malformed: {type(exc).__name__} {exc}") from exc
    return found


def _number(text: Any) -> int:
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()):
        raise ProofError(f"not an amount: {text!r}")
    return int(text)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProofError(otherwise)


def main(arguments: list[str]) -> int:
    """Check proofs given as files; 0 when all hold."""
    if len(arguments) < 2:
        print(__doc__)
        return 2
    files = []
    for name in arguments:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123 - as plain as it gets
            files.append(json.load(file))
    root, *proofs = files
    taken: set[tuple[str, int]] = set()
    for name, proof in zip(arguments[1:], proofs, strict=True):
        try:
            balances = check_proof(root, proof, taken)
        except ProofError as exc:
            print(f"{name}: DOES NOT HOLD: {exc}")
            return 1
        print(f"{name}: {proof['user']} is in the published sums with")
        for asset, raw in balances.items():
            print(f"  {raw} {asset}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
