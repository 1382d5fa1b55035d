"""Signer and client speak JSON lines over a Unix socket: one object in, one object out, both of bounded length.

{"method": "sign_transaction", "signer": "0x…", "network": "devnet", "payload": {…}, "evidence": {…}}
{"result": {…}}  or  {"error": {"kind": "refused", "message": "…", "rule": "sign-once"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable

LINE_BYTES_MAX: Final = 512 * 1024
"""Room for a payload of 256 kB and its evidence."""


def encode_line(message: Mapping[str, Any]) -> bytes:
    """Write one message."""
    return _encode(message).encode() + b"\n"


def decode_line(line: bytes) -> dict[str, Any]:
    """Read one message.

    Raises:
        InputError: Not one JSON object ended by a line feed.
    """
    if not line.endswith(b"\n"):
        raise InputError("the message is truncated")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InputError("the message is not JSON") from exc
    if not isinstance(message, dict):
        raise InputError("the message is not a JSON object")
    return message


def error_message(exc: PlatformError) -> dict[str, Any]:
    """Describe an error so that `error_from` raises its like on the other side."""
    kind = next((name for name, family in _KINDS.items() if isinstance(exc, family)), "invariant")
    fields = {"kind": kind, "message": str(exc), "hint": exc.hint}
    if isinstance(exc, Refused):
        fields["rule"] = exc.rule
    if isinstance(exc, OutcomeUnknown):
        fields["request_id"] = exc.request_id
    return {"error": fields}


def error_from(fields: Mapping[str, Any]) -> PlatformError:
    """Rebuild the error that the other side described."""
    kind, message, hint = fields.get("kind"), str(fields.get("message", "")), str(fields.get("hint", ""))
    if kind == "refused":
        return Refused(message, rule=str(fields.get("rule", "signer")), hint=hint)
    if kind == "input":
        return InputError(message, hint=hint)
    if kind == "unavailable":
        return VenueUnavailable(message, hint=hint)
    if kind == "unknown":
        return OutcomeUnknown(message, request_id=str(fields.get("request_id", "")), hint=hint)
    return InvariantError(f"the signer failed: {message}", hint=hint)


# Made once: `json.dumps` makes an encoder for each call that wants other separators.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_KINDS: Final = {"refused": Refused, "input": InputError, "unavailable": VenueUnavailable, "unknown": OutcomeUnknown}
