"""What the coordinator asks of a party: JSON lines as between signer and client, with envelopes in base64.

A signing request carries the whole payload. There is no request that carries a digest.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain import InputError
from wallets.evidence import Evidence, read_evidence
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    StatementToSign,
    TransactionToSign,
    TypedDataToSign,
    unhex,
)

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Room for a round of generation: 15 envelopes of 150 kB in base64."""
Payload = TransactionToSign | MessageToSign | TypedDataToSign | AuthorizationToSign | StatementToSign


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Everything the signers of one attempt have to agree on."""

    wallet: str
    epoch: int
    path: str
    network: Network
    payload: Payload
    signers: tuple[int, ...]
    attempt: bytes
    evidence: Evidence | None = None
    """For the party's guard alone: two parties may be shown different evidence for one payload."""
    presignature: bytes | None = None
    """The one to use up for it."""

    def to_wire(self) -> dict[str, Any]:
        kind, fields = _write_payload(self.payload)
        return {
            "wallet": self.wallet,
            "epoch": self.epoch,
            "path": self.path,
            "network": self.network.value,
            "kind": kind,
            "payload": fields,
            "signers": list(self.signers),
            "attempt": self.attempt.hex(),
            "evidence": self.evidence,
            "presignature": None if self.presignature is None else self.presignature.hex(),
        }

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> SignRequest:
        """Read what `to_wire` wrote.

        Raises:
            InputError: A field is missing or of the wrong form.
        """
        return cls(
            wallet=text(fields, "wallet"),
            epoch=number(fields, "epoch"),
            path=text(fields, "path"),
            network=_network(fields),
            payload=_read_payload(text(fields, "kind"), fields.get("payload")),
            signers=signers(fields),
            attempt=attempt(fields),
            evidence=read_evidence(fields.get("evidence")),
            presignature=None if fields.get("presignature") is None else hex_bytes(fields, "presignature", 32),
        )


def text(fields: Mapping[str, Any], name: str) -> str:
    """Read a short text."""
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise InputError(f"{name} must be a short text")
    return value


def number(fields: Mapping[str, Any], name: str) -> int:
    """Read a positive integer below 2**31."""
    value = fields.get(name)
    if type(value) is not int or not 0 < value < 1 << 31:
        raise InputError(f"{name} must be a positive integer")
    return value


def kind(fields: Mapping[str, Any]) -> str:
    """Read a key's kind."""
    value = text(fields, "key_kind")
    if value not in ("secp256k1", "ed25519"):
        raise InputError("key_kind must be secp256k1 or ed25519")
    return value


def attempt(fields: Mapping[str, Any]) -> bytes:
    """Read the 16 bytes that make an attempt its own."""
    return hex_bytes(fields, "attempt", 16)


def hex_bytes(fields: Mapping[str, Any], name: str, length: int) -> bytes:
    """Read bytes of a length, as hex."""
    try:
        value = bytes.fromhex(text(fields, name))
    except ValueError as exc:
        raise InputError(f"{name} must be hex") from exc
    if len(value) != length:
        raise InputError(f"{name} has {length} bytes, found {len(value)}")
    return value


def signers(fields: Mapping[str, Any], name: str = "signers") -> tuple[int, ...]:
    """Read the numbers of some parties, in order and without repetition."""
    value = fields.get(name)
    if not isinstance(value, list) or any(type(party) is not int for party in value) or value != sorted(set(value)):
        raise InputError(f"{name} must be the parties' numbers in order")
    return tuple(value)


def write_envelopes(envelopes: Sequence[tuple[int, bytes]]) -> list[list[Any]]:
    """Give JSON-ready pairs of recipient and envelope."""
    return [[to, base64.b64encode(envelope).decode()] for to, envelope in envelopes]


def read_envelopes(pairs: Any) -> list[tuple[int, bytes]]:
    """Read what `write_envelopes` wrote."""
    try:
        return [(int(to), base64.b64decode(envelope, validate=True)) for to, envelope in pairs]
    except (TypeError, ValueError, binascii.Error) as exc:
        raise InputError("envelopes are pairs of recipient and base64") from exc


def _write_payload(payload: Payload) -> tuple[str, dict[str, Any]]:
    if isinstance(payload, TransactionToSign):
        return "transaction", payload.to_wire()
    if isinstance(payload, MessageToSign):
        return "message", {"content": "0x" + payload.content.hex()}
    if isinstance(payload, AuthorizationToSign):
        return "authorization", payload.to_wire()
    if isinstance(payload, StatementToSign):
        return "statement", payload.to_wire()
    return "typed_data", dict(payload.document)


def _read_payload(kind: str, fields: Any) -> Payload:
    if not isinstance(fields, dict):
        raise InputError("payload must be an object")
    if kind == "transaction":
        return TransactionToSign.from_wire(fields)
    if kind == "typed_data":
        return TypedDataToSign(fields)
    if kind == "authorization":
        return AuthorizationToSign.from_wire(fields)
    if kind == "statement":
        return StatementToSign.from_wire(fields)
    if kind != "message":
        raise InputError("kind must be transaction, message, typed_data, authorization or statement")
    try:
        return MessageToSign(unhex(fields["content"]))
    except (KeyError, ValueError) as exc:
        raise InputError("a message's payload is its content as 0x-hex") from exc


def _network(fields: Mapping[str, Any]) -> Network:
    try:
        return Network(text(fields, "network"))
    except ValueError as exc:
        raise InputError("network must be devnet, testnet or live") from exc
