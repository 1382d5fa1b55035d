"""Checkpoints: signed statements of how far the log had come, kept where the log's keeper cannot change them.

A hash chain alone can be computed anew by whoever may write all of it, and cut short without a trace. A checkpoint
says how many records there were, the hash of the last and the Merkle root over all, under a key that is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain import Address, InputError, InvariantError
from runtime import Secret
from wallets import MessageToSign, Signature, recover

_TAG: Final = b"capstan/audit-checkpoint/v1\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed, and by which key: `ed25519:<public key>` or `eip191:<address>`."""

    count: int
    head: str
    root: str
    time_ns: int
    key: str
    signature: str

    def statement(self) -> bytes:
        """The bytes that are signed."""
        return statement(self.count, self.head, self.root, self.time_ns, self.key)

    def is_signed(self) -> bool:
        """Whether the signature is by the key it names."""
        scheme, _, name = self.key.partition(":")
        try:
            signature = bytes.fromhex(self.signature)
            if scheme == "ed25519":
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(name)).verify(signature, self.statement())
                return True
            if scheme == "eip191":
                return recover(MessageToSign(self.statement()).digest(), Signature.from_bytes(signature)) == name
        except (InvalidSignature, InputError, InvariantError, ValueError):
            return False
        return False

    def to_json(self) -> str:
        """One line of JSON, as it is exported."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, content: str | bytes) -> Self:
        """Read an exported checkpoint.

        Raises:
            InputError: It is none.
        """
        try:
            fields: dict[str, Any] = json.loads(content)
            found = cls(**fields)
        except (ValueError, TypeError) as exc:
            raise InputError("not an audit checkpoint") from exc
        numbers = (found.count, found.time_ns)
        texts = (found.head, found.root, found.key, found.signature)
        if any(type(number) is not int for number in numbers) or any(type(text) is not str for text in texts):
            raise InputError("not an audit checkpoint: a field is of the wrong kind")
        return found


class CheckpointSigner(Protocol):
    """Who signs checkpoints; synchronous."""

    @property
    def key(self) -> str: ...

    def sign(self, statement: bytes) -> str:
        """Sign, and give the signature in hex."""
        ...


class Ed25519CheckpointSigner:
    """Signs with an Ed25519 key: 32 bytes in hex, as `capstan audit create-key` writes them.

    Raises:
        InputError: The secret is no such key.
    """

    def __init__(self, secret: Secret) -> None:
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret.reveal().strip()))
        except ValueError as exc:
            raise InputError(
                "the audit key is not 32 bytes in hex", hint="`capstan audit create-key FILE` makes one"
            ) from exc
        self.key = f"ed25519:{self._key.public_key().public_bytes_raw().hex()}"

    def sign(self, statement: bytes) -> str:
        return self._key.sign(statement).hex()


class WalletCheckpointSigner:
    """Signs with an account's key as a personal message: a key in an HSM or an MPC key, through its signer.

    Args:
        address: The account's.
        sign_message: Asks the signer; called on the thread that checkpoints.
    """

    def __init__(self, address: Address, sign_message: Callable[[MessageToSign], Signature]) -> None:
        self.key = f"eip191:{address}"
        self._sign_message = sign_message

    def sign(self, statement: bytes) -> str:
        return self._sign_message(MessageToSign(statement)).to_bytes().hex()


def statement(count: int, head: str, root: str, time_ns: int, key: str) -> bytes:
    """Write what a checkpoint states as the bytes that are signed."""
    fields = {"count": count, "head": head, "root": root, "time_ns": time_ns, "key": key}
    return _TAG + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
