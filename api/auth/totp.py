"""Six digits from a shared seed and the half minute (RFC 6238 over RFC 4226), each half minute's once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final
from urllib.parse import quote, urlencode

STEP_S: Final = 30
DIGITS: Final = 6
SEED_BYTES: Final = 20
_DRIFT_STEPS: Final = 1
_CODE: Final = re.compile(r"[0-9]{6}")


def code_at(seed: bytes, step: int, *, digits: int = DIGITS, digest: str = "sha1") -> str:
    """The code of one step; RFC 4226, §5.3."""
    mac = hmac.digest(seed, step.to_bytes(8, "big"), getattr(hashlib, digest))
    offset = mac[-1] & 0x0F
    value = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(value % 10**digits).zfill(digits)


def step_of(code: str, seed: bytes, now_s: int, after_step: int) -> int | None:
    """The step a code belongs to: now, the one before or the one after; None if it is wrong, or not after `after_step`.

    The caller stores the step in the transaction that asks for it: a code is good once (RFC 6238, §5.2).
    """
    if not _CODE.fullmatch(code):
        return None
    now = now_s // STEP_S
    found = None
    for step in range(now - _DRIFT_STEPS, now + _DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(seed, step).encode(), code.encode()) and step > after_step:
            found = step
    return found


def seed_text(seed: bytes) -> str:
    """The seed as a person types it: base32."""
    return base64.b32encode(seed).decode()


def provisioning_uri(seed: bytes, *, issuer: str, account: str) -> str:
    """The `otpauth:` URI that authenticator apps read from a QR code."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    query = urlencode(
        {"secret": seed_text(seed), "issuer": issuer, "digits": DIGITS, "period": STEP_S}, quote_via=quote
    )
    return f"otpauth://totp/{label}?{query}"
