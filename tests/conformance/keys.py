"""Accounts that sign in each of the venue's ways."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cex.sandbox import AccountSpec
from tests.cex.sandbox.conftest import ALICE

HMAC = ALICE


def ed25519_account() -> tuple[AccountSpec, str]:
    """A fresh account and its private key, PEM."""
    key = Ed25519PrivateKey.generate()
    return replace(ALICE, name="ed25519", api_key="ed25519-key", secret=None, ed25519_public_key=_public(key)), _pem(
        key
    )


def rsa_account() -> tuple[AccountSpec, str]:
    """A fresh account and its private key, PEM."""
    key = generate_private_key(65537, 2048)
    return replace(ALICE, name="rsa", api_key="rsa-key", secret=None, rsa_public_key=_public(key)), _pem(key)


def _pem(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
