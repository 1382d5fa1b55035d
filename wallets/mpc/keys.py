"""The two kinds of keys a committee holds: how each is named, what it signs, and how a signature is checked.

A `secp256k1` key is named by its Ethereum address and signs transactions, messages, typed data and authorizations. An
`ed25519` key (FROST, RFC 9591) is named `ed25519:` and its public key in hex, has no children, and signs statements.
"""

from __future__ import annotations

import hashlib
from typing import Final

from capstan_native import MpcIdentity, MpcSession, MpcShare
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from domain import Address, InputError
from wallets.mpc.requests import Payload
from wallets.payloads import MessageToSign, Signature, StatementToSign, TransactionToSign
from wallets.transactions import recover, signing_digest

SECP256K1: Final = "secp256k1"
ED25519: Final = "ed25519"
KINDS: Final = (SECP256K1, ED25519)

_PREFIX: Final = "ed25519:"


def name_of(share: MpcShare, path: str) -> Address:
    """Name the key that a share signs for at a path.

    Raises:
        InputError: Not a path of this key.
    """
    try:
        public = share.public_key(path)
    except ValueError as exc:
        raise InputError(f"not a path of this key: {path!r}", hint="write it like m/0/7; ed25519 has m only") from exc
    if share.kind == ED25519:
        return Address(_PREFIX + public.hex())
    return Address(to_checksum_address(keccak(public)[-20:]))


def check_kind(kind: str, payload: Payload) -> None:
    """Keep statements with Ed25519 keys, and everything else with the others.

    Raises:
        InputError: The payload is not for such a key.
    """
    if isinstance(payload, StatementToSign) != (kind == ED25519):
        raise InputError(f"a key of kind {kind} does not sign a {type(payload).__name__}")


def digest_of(payload: Payload) -> bytes:
    """Hash a payload as its kind demands. Ed25519 signs the bytes themselves: their hash only names them here."""
    if isinstance(payload, StatementToSign):
        return hashlib.sha256(payload.signed_bytes()).digest()
    return signing_digest(payload) if isinstance(payload, TransactionToSign) else payload.digest()


def epoch_sentence(kind: str, wallet: str, epoch: int) -> MessageToSign | StatementToSign:
    """Say that an epoch's shares fit together: what parties sign to see that they do. It moves nothing."""
    sentence = f"The cosigners of {wallet} are in epoch {epoch}.".encode()
    return StatementToSign("epoch", sentence) if kind == ED25519 else MessageToSign(sentence)


def begin_signature(
    identity: MpcIdentity, share: MpcShare, peers: dict[int, bytes], path: str, payload: Payload, attempt: bytes
) -> MpcSession:
    """Make the session that signs a payload; raises `ValueError` when the peers do not fit the share."""
    if isinstance(payload, StatementToSign):
        return MpcSession.sign_ed25519(identity, share, peers, payload.signed_bytes(), attempt)
    return MpcSession.sign(identity, share, peers, path, digest_of(payload), attempt)


def check_signature(key: Address, payload: Payload, signature: bytes) -> None:
    """Verify a signature with other code than made it.

    Raises:
        InputError: It is not one of this key over this payload.
    """
    if isinstance(payload, StatementToSign):
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.removeprefix(_PREFIX)))
            public.verify(signature, payload.signed_bytes())
        except (InvalidSignature, ValueError) as exc:
            raise InputError(f"the signature is not one of {key}") from exc
        return
    if recover(digest_of(payload), read_ecdsa(signature)) != key:
        raise InputError(f"the signature is not one of {key}")


def read_ecdsa(signature: bytes) -> Signature:
    """Read r, s and the recovery id (65 bytes, the last 0 or 1).

    Raises:
        InputError: Of another form.
    """
    if len(signature) != 65 or signature[64] > 1:
        raise InputError("an ECDSA signature has 65 bytes, the last 0 or 1")
    return Signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64])
