"""What a signer is shown beside the payload: approvals, attestations, the policy's version. Opaque in this package.

It travels with the request to every process that judges (signer, cosigners) and is handed to that process's own guard,
which believes nothing in it that it cannot verify. It is not part of what is signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from domain import InputError

EVIDENCE_BYTES_MAX: Final = 256 * 1024

Evidence = Mapping[str, Any]
"""A JSON object of at most `EVIDENCE_BYTES_MAX` bytes."""


def read_evidence(value: Any) -> dict[str, Any] | None:
    """Check evidence on its way out and on its way in; gives a copy that travels unchanged.

    Raises:
        InputError: It is no JSON object, or too long.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InputError("evidence must be an object")
    try:
        text = json.dumps(dict(value), separators=(",", ":"), allow_nan=False)
        copy: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(f"evidence is not a JSON object: {type(exc).__name__}") from exc
    if len(text) > EVIDENCE_BYTES_MAX:  # json.dumps escapes what is not ASCII: a character is a byte
        raise InputError(f"evidence has {len(text)} bytes, at most {EVIDENCE_BYTES_MAX} are read")
    if copy != value:
        raise InputError("evidence is not a JSON object: its keys must be text and its sequences lists")
    return copy
