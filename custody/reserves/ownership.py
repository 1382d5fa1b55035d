"""Showing that addresses are ours: their keys sign a message that names the build, so it serves once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from custody.reserves.verifier import ProofError
from domain import Address, InputError, InvariantError
from wallets import MessageToSign, Signature, recover

FORMAT: Final = "capstan/reserves-ownership/v1"


def ownership_message(root: Mapping[str, Any], address: Address) -> str:
    """The text an address' key signs as a personal message (EIP-191)."""
    roots = "\n".join(f"{entry['asset']} {entry['sum']} {entry['root']}" for entry in root["assets"])
    return f"Proof of reserves {root['build']}\nI hold the key of {address}\n{roots}"


async def prove_ownership(
    root: Mapping[str, Any],
    addresses: Sequence[Address],
    sign: Callable[[Address, MessageToSign], Awaitable[Signature]],
) -> dict[str, Any]:
    """Have every address sign; give the file that is published beside the root."""
    proofs = []
    for address in addresses:
        text = ownership_message(root, address)
        signature = await sign(address, MessageToSign(text.encode()))
        proofs.append({"address": address, "signature": signature.to_bytes().hex()})
    made = {"format": FORMAT, "build": root["build"], "addresses": proofs}
    check_ownership(root, made)
    return made


def check_ownership(root: Mapping[str, Any], ownership: Mapping[str, Any]) -> list[Address]:
    """Check the signatures of a published file; give the addresses that are shown to be held.

    Raises:
        ProofError: A signature is not by its address, over this root, or an address is named twice.
    """
    found: list[Address] = []
    try:
        if ownership["format"] != FORMAT or ownership["build"] != root["build"]:
            raise ProofError("the ownership file belongs to another root file")
        for proof in ownership["addresses"]:
            address = Address(proof["address"])
            digest = MessageToSign(ownership_message(root, address).encode()).digest()
            try:
                signer = recover(digest, Signature.from_bytes(bytes.fromhex(proof["signature"])))
            except (InputError, InvariantError) as exc:
                raise ProofError(f"{address}: {exc}") from exc
            if signer != address:
                raise ProofError(f"{address} did not sign this")
            if address in found:
                raise ProofError(f"{address} is named twice")
            found.append(address)
    except (KeyError, TypeError, ValueError) as exc:
        raise ProofError(f"malformed ownership file: {type(exc).__name__} {exc}") from exc
    return found
