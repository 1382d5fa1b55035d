"""What custody signs about session keys: text that the signer reads line by line, and refuses when it says more."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.session_keys.terms import SessionTerms
from domain import InputError
from runtime import Secret


@dataclass(frozen=True, slots=True)
class Certified:
    """A statement and the authority's signature."""

    text: bytes
    signature: bytes


class SessionAuthority:
    """Signs certificates and allotments with an Ed25519 key: 32 bytes in hex. Signers know its public part.

    Raises:
        InputError: It is no such key.
    """

    def __init__(self, secret: Secret) -> None:
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret.reveal().strip()))
        except ValueError as exc:
            raise InputError("the authority's key is 32 bytes in hex") from exc

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def certify(self, text: str) -> Certified:
        """Sign a statement made by this module."""
        data = text.encode()
        return Certified(data, self._key.sign(data))


def certificate_text(key_id: int, terms: SessionTerms) -> str:
    """Write a certificate; native/hot/src/limits.rs reads it.

    Raises:
        InputError: An instrument or a call is malformed.
    """
    lines = [
        "capstan/session-key/v1",
        f"id {key_id}",
        f"key {terms.key}",
        f"scope {terms.scope}",
        f"decimals {terms.decimals}",
        f"from_ns {terms.from_ns}",
        f"until_ns {terms.until_ns}",
        f"order_max {terms.order_max}",
        f"window_ns {terms.window_s * 10**9}",
        f"window_max {terms.window_max}",
        f"window_count {terms.window_count}",
        f"fee_max {terms.fee_max_wei}",
        *(f"instrument {instrument.line()}" for instrument in terms.instruments),
        *(f"call {call.line()}" for call in terms.calls),
    ]
    return "\n".join(lines) + "\n"


def allotment_text(
    key_id: int, instance: str, sequence: int, *, value: int, count: int, from_ns: int, until_ns: int
) -> str:
    """Write an allotment."""
    lines = [
        "capstan/session-allotment/v1",
        f"key {key_id}",
        f"instance {instance}",
        f"sequence {sequence}",
        f"value {value}",
        f"count {count}",
        f"from_ns {from_ns}",
        f"until_ns {until_ns}",
    ]
    return "\n".join(lines) + "\n"
