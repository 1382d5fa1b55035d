"""Ids and tokens: what they look like, and how little of them is stored."""

from __future__ import annotations

import base64
import hashlib
import secrets

from runtime.base64url import encode64


def new_id(kind: str) -> str:
    """Make an id that says what it names: `key_` and 80 random bits."""
    return f"{kind}_{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"


def new_token(kind: str) -> str:
    """Make a secret that its holder shows: a word that secret scanners find, and 256 random bits."""
    return f"{kind}_{encode64(secrets.token_bytes(32))}"


def digest_of(token: str) -> str:
    """What is stored of a token. It has 256 random bits, so a plain hash can neither be guessed nor turned back."""
    return hashlib.sha256(token.encode()).hexdigest()
