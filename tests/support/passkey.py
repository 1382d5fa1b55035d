"""A WebAuthn authenticator in software: makes passkeys and uses them, and lies where it is told to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from runtime.base64url import encode64

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class SoftPasskey:
    """One credential of one site, on P-256."""

    def __init__(self, seed: str, *, origin: str = "http://localhost:8460", rp_id: str = "localhost") -> None:
        self._key = derive_private_key(int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") >> 1, SECP256R1())
        self.id = hashlib.sha256(b"id" + seed.encode()).digest()
        self.origin, self.rp_id, self.counter = origin, rp_id, 0

    def make(self, options: dict[str, Any], *, flags: int = PRESENT | VERIFIED, **lies: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.create`; `lies` replace fields of the client data."""
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        data = self._data(flags | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, lies)
        return self._credential({"clientDataJSON": encode64(client), "attestationObject": encode64(attestation)})

    def use(self, options: dict[str, Any], *, flags: int = PRESENT | VERIFIED, **lies: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.get`."""
        self.counter += 1
        client, data = self._client("webauthn.get", options, lies), self._data(flags)
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ECDSA(SHA256()))
        return self._credential(
            {
                "clientDataJSON": encode64(client),
                "authenticatorData": encode64(data),
                "signature": encode64(signature),
                "userHandle": None,
            }
        )

    def _client(self, kind: str, options: dict[str, Any], lies: dict[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(told | lies).encode()

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = encode64(self.id)
        return {
            "id": name, "rawId": name, "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {}, "response": response,
        }  # fmt: skip
