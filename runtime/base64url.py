"""base64url without padding, in its one canonical form: two texts are never the same bytes."""

from __future__ import annotations

import base64

from domain import InputError


def encode64(content: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode64(text: str) -> bytes:
    """Read what `encode64` writes.

    Raises:
        InputError: Anything else.
    """
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as exc:
        raise InputError("not base64url") from exc
    if encode64(content) != text:
        raise InputError("not canonical base64url")
    return content
