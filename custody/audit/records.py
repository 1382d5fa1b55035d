"""Audit records as bytes: what is hashed, and how one record holds on to the one before.

    hash = SHA-256("capstan/audit/v1" LF sequence LF time LF kind LF subject LF previous hash LF detail)

Numbers in decimal, hashes in lower-case hex, detail as canonical JSON (sorted keys, no spaces, UTF-8). No field but
the last may contain a line feed, so no two records have the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from domain import InputError

GENESIS: Final = "0" * 64
"""What the first record holds on to."""
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9.\-]{0,63}")
_SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,200}")


def canonical(detail: Mapping[str, Any]) -> str:
    """Write a detail in the one way it is hashed.

    Raises:
        InputError: It is no JSON, or has a float, which not everybody writes the same way.
    """
    _refuse_floats(detail)
    try:
        return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise InputError(f"an audit detail must be JSON: {exc}") from exc


def check_names(kind: str, subject: str) -> None:
    """Refuse a kind or subject that cannot be recorded.

    Raises:
        InputError: See the patterns: `policy.activated`, `transaction/i-1`.
    """
    if not _KIND.fullmatch(kind) or not _SUBJECT.fullmatch(subject):
        raise InputError(f"not an audit kind and subject: {kind!r}, {subject!r}")


def record_hash(sequence: int, time_ns: int, kind: str, subject: str, detail: str, previous: str) -> str:
    """Hash a record."""
    content = f"capstan/audit/v1\n{sequence}\n{time_ns}\n{kind}\n{subject}\n{previous}\n{detail}"
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise InputError(f"an audit detail holds no floats: write {value!r} as text")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError(f"an audit detail's keys are text, not {key!r}")
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
