"""An authenticator in software: makes the assertions that a phone or a security key makes, and wrong ones too."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custody.approvals import Approval, CanonicalIntent, Verdict, digest_of
from runtime.base64url import encode64

RP_ID = "capstan.example"
ORIGIN = "https://desk.capstan.example:8443"
PRESENT, VERIFIED, BACKUP_ELIGIBLE, EXTENSIONS = 0x01, 0x04, 0x08, 0x80


class Authenticator:
    """One credential. Counts its uses, unless it was made not to count."""

    def __init__(self, seed: str, *, algorithm: str = "ES256", counts: bool = True) -> None:
        secret = hashlib.sha256(seed.encode()).digest()
        self._key: EllipticCurvePrivateKey | Ed25519PrivateKey = (
            derive_private_key(int.from_bytes(secret, "big") >> 1, SECP256R1())
            if algorithm == "ES256"
            else Ed25519PrivateKey.from_private_bytes(secret)
        )
        self._counts = counts
        self.counter = 0

    @property
    def key_text(self) -> str:
        """How a policy bundle lists it."""
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"passkey:{RP_ID}:{encode64(spki)}:{ORIGIN}"

    def approve(self, intent: CanonicalIntent, text: str, verdict: Verdict = Verdict.APPROVE, **lies: Any) -> Approval:
        """Assert a verdict; see `prove` for the lies."""
        return Approval(self.key_text, verdict, self.prove(digest_of(intent, text, verdict), **lies))

    def prove(
        self,
        digest: bytes,
        *,
        rp_id: str = RP_ID,
        flags: int = PRESENT | VERIFIED | BACKUP_ELIGIBLE,
        counter: int | None = None,
        extensions: bytes = b"",
        client: bytes | None = None,
        **fields: Any,
    ) -> dict[str, str]:
        """Answer a challenge. `fields` replace those of the client data; None leaves one out."""
        self.counter += self._counts
        count = self.counter if counter is None else counter
        data = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4, "big") + extensions
        told = {"type": "webauthn.get", "challenge": encode64(digest), "origin": ORIGIN, "crossOrigin": False} | fields
        client = client or json.dumps({name: value for name, value in told.items() if value is not None}).encode()
        signed = data + hashlib.sha256(client).digest()
        signature = (
            self._key.sign(signed)
            if isinstance(self._key, Ed25519PrivateKey)
            else self._key.sign(signed, ECDSA(SHA256()))
        )
        return {
            "authenticator_data": encode64(data),
            "client_data": encode64(client),
            "signature": encode64(signature),
        }
