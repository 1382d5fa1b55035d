"""The keys of approvers, as a policy bundle lists them: `ed25519:<64 hex digits>` or `passkey:…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custody.approvals.intent import CanonicalIntent, Verdict, digest_of
from custody.approvals.passkeys import Passkey
from domain import InputError, Refused

Groups = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Group → approver → that person's keys. One person may be in several groups, and have several keys."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A signed verdict about one intent. `key` is the text by which the bundle lists it."""

    key: str
    verdict: Verdict
    proof: Mapping[str, str]
    """Ed25519: `signature` (hex). Passkey: `authenticator_data`, `client_data`, `signature` (base64url)."""

    def to_document(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {"key": self.key, "verdict": self.verdict.value, "proof": dict(self.proof)}

    @classmethod
    def from_document(cls, document: Any) -> Approval:
        """Read what `to_document` gives.

        Raises:
            InputError: It has another form.
        """
        try:
            key, proof = document["key"], document["proof"]
            if set(document) != {"key", "verdict", "proof"} or not isinstance(key, str) or not isinstance(proof, dict):
                raise TypeError
            return cls(key, Verdict(document["verdict"]), proof)
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError("an approval has a key, a verdict and a proof") from exc

    def check(self, intent: CanonicalIntent, text: str) -> int:
        """Verify the signature; return the passkey's counter (0 for an Ed25519 key).

        Raises:
            Refused: Rule `approval-signature`.
            InputError: The key itself cannot be read.
        """
        return parse_key(self.key).check(self.proof, digest_of(intent, text, self.verdict))


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A plain signing key."""

    key: Ed25519PublicKey

    def check(self, proof: Mapping[str, Any], digest: bytes) -> int:
        """Check a signature over the 32 bytes of the digest. Raises as `Approval.check`."""
        try:
            self.key.verify(bytes.fromhex(proof["signature"]), digest)
        except (InvalidSignature, KeyError, TypeError, ValueError) as exc:
            raise Refused("an approval's signature does not fit this intent", rule="approval-signature") from exc
        return 0


@lru_cache(maxsize=1024)
def parse_key(text: str) -> Ed25519Key | Passkey:
    """Read an approver's key.

    Raises:
        InputError: Not one of the two forms.
    """
    kind, _, rest = text.partition(":")
    if kind == "passkey":
        return Passkey.parse(rest)
    try:
        if kind != "ed25519" or len(rest) != 64 or rest != rest.lower():
            raise ValueError
        return Ed25519Key(Ed25519PublicKey.from_public_bytes(bytes.fromhex(rest)))
    except ValueError as exc:
        raise InputError(f"a key is written ed25519:<64 hex digits> or passkey:…, found {text[:24]!r}") from exc


def key_text(key: Ed25519PublicKey) -> str:
    """Write an Ed25519 key as bundles list it."""
    return f"ed25519:{key.public_bytes_raw().hex()}"


def approve(key: Ed25519PrivateKey, intent: CanonicalIntent, text: str, verdict: Verdict = Verdict.APPROVE) -> Approval:
    """Sign a verdict about an intent whose text the person has read."""
    signature = key.sign(digest_of(intent, text, verdict))
    return Approval(key_text(key.public_key()), verdict, {"signature": signature.hex()})
