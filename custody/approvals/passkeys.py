"""Passkeys: a WebAuthn assertion over an approval's digest, checked without trusting the browser or the server.

An authenticator signs `authenticatorData ‖ SHA-256(clientDataJSON)`. The first says for which site (relying party id)
and whether a person was there and proved who it is; the second holds the challenge, which here is the digest, and the
origin of the page. WebAuthn Level 3, §7.2, steps that apply to a relying party without sessions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from domain import InputError, Refused
from runtime.base64url import decode64, encode64

_USER_PRESENT: Final = 0x01
_USER_VERIFIED: Final = 0x04
_ATTESTED_DATA: Final = 0x40
_EXTENSIONS: Final = 0x80
_BARE_LENGTH: Final = 37
_PROOF_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Passkey:
    """A credential's public key with the site it belongs to: `passkey:<rp id>:<SPKI, base64url>:<origin>`.

    The key is what `getPublicKey()` gives in the browser when the passkey is made: ES256 (P-256) or EdDSA (Ed25519).
    """

    rp_id: str
    key: EllipticCurvePublicKey | Ed25519PublicKey
    origin: str

    @classmethod
    def parse(cls, rest: str) -> Passkey:
        """Read what follows `passkey:`.

        Raises:
            InputError: Not that form, or a key of another algorithm.
        """
        parts = rest.split(":", 2)
        if len(parts) != 3 or not all(parts):
            raise InputError("a passkey is written passkey:<rp id>:<SPKI, base64url>:<origin>")
        rp_id, spki, origin = parts
        host = origin.removeprefix("https://").partition(":")[0]
        if not origin.startswith("https://") or not (host == rp_id or host.endswith(f".{rp_id}")):
            # Browsers give passkeys to secure pages of the site only; localhost is for them no exception worth having.
            raise InputError(f"a passkey of {rp_id!r} is used on https pages of that site, not on {origin!r}")
        try:
            key = load_der_public_key(decode64(spki))
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise InputError("a passkey's key is a SubjectPublicKeyInfo in base64url") from exc
        if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            return cls(rp_id, key, origin)
        if isinstance(key, Ed25519PublicKey):
            return cls(rp_id, key, origin)
        raise InputError("a passkey signs by ES256 or EdDSA")

    def check(self, proof: Mapping[str, Any], digest: bytes) -> int:
        """Check that a person used this passkey for exactly this digest; return the authenticator's counter.

        Raises:
            Refused: Rule `approval-signature`, naming what does not hold.
        """
        try:
            data, client, signature = (
                decode64(_text(proof, field)) for field in ("authenticator_data", "client_data", "signature")
            )
        except InputError as exc:
            raise _refused(str(exc)) from exc
        self._check_client(client, digest)
        counter = self._check_authenticator(data)
        signed = data + hashlib.sha256(client).digest()
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, signed)
            else:
                self.key.verify(signature, signed, ECDSA(SHA256()))
        except InvalidSignature as exc:
            raise _refused("the signature is not this passkey's") from exc
        return counter

    def _check_client(self, client: bytes, digest: bytes) -> None:
        try:
            fields = json.loads(client, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as exc:
            raise _refused("the client data is not JSON") from exc
        if not isinstance(fields, dict):
            raise _refused("the client data is not an object")
        wanted = {"type": "webauthn.get", "challenge": encode64(digest), "origin": self.origin}
        for field, value in wanted.items():
            if fields.get(field) != value:
                raise _refused(f"the {field} is {str(fields.get(field))[:80]!r}, expected {value!r}")
        if fields.get("crossOrigin", False) is not False or "topOrigin" in fields:
            raise _refused("the passkey was used from within another site's page")

    def _check_authenticator(self, data: bytes) -> int:
        if len(data) < _BARE_LENGTH:
            raise _refused("the authenticator data is too short")
        if data[:32] != hashlib.sha256(self.rp_id.encode()).digest():
            raise _refused(f"the passkey is of another site than {self.rp_id}")
        flags = data[32]
        if not flags & _USER_PRESENT or not flags & _USER_VERIFIED:
            raise _refused("the person was not present, or not verified")
        if flags & _ATTESTED_DATA or (len(data) > _BARE_LENGTH) != bool(flags & _EXTENSIONS):
            raise _refused("the authenticator data has another length than its flags say")
        return int.from_bytes(data[33:37], "big")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _text(proof: Mapping[str, Any], field: str) -> str:
    text = proof.get(field)
    if not isinstance(text, str) or len(text) > _PROOF_BYTES_MAX:
        raise InputError(f"a passkey's proof has no {field}")
    return text


def _refused(why: str) -> Refused:
    return Refused(f"a passkey's approval does not hold: {why}", rule="approval-signature")
