"""JSON in one spelling: sorted names, no blanks, ASCII. What is hashed or signed is written like this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Write an object; equal objects give equal bytes. There are no floats in a transcript: they are refused."""
    _refuse_floats(fields)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("a float has no one spelling")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for element in value:
            _refuse_floats(element)
