"""Where in a request a figure stands, and what signs it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.support.venue_harness.server import Request

_SIGNS = re.compile(r"sign|hmac|digest|auth|jwt|token|passkey|api.?key|^key$|access|hash|tapi-", re.IGNORECASE)


def places(request: Request) -> Iterator[tuple[str, Any]]:
    """Give every value of a request with where it stands: `query.symbol`, `body.orders.0.p`, `path`."""
    for number, part in enumerate(request.path.strip("/").split("/")):
        yield f"path.{number}", part
    yield from _within("query", request.query)
    yield from _within("body", request.body)
    for name, value in request.headers.items():
        if len(value) > 20 and (decoded := _base64_json(value)) is not None:
            yield from _within(f"header.{name}", decoded)


def _within(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _within(f"{where}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _within(f"{where}.{number}", inner)
    elif isinstance(value, str) and value[:1] in "{[" and (nested := _json(value)) is not None:
        yield from _within(where, nested)
    elif isinstance(value, str) and len(value) > 20 and (decoded := _base64_json(value)) is not None:
        yield from _within(where, decoded)
    else:
        yield where, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _base64_json(text: str) -> Any:
    try:
        found = _json(base64.b64decode(text, validate=True).decode())
    except (ValueError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def where_word(request: Request, *words: str) -> str:
    """Where one of some words stands alone, else within a longer one (if it has three letters); empty when nowhere."""
    values = [(place, str(value).lower()) for place, value in places(request)]
    for word in words:
        if found := next((place for place, value in values if value == word.lower()), ""):
            return found
    long = [word.lower() for word in words if len(word) > 2]
    return next((place for word in long for place, value in values if word in value), "")


def where_number(request: Request, wanted: Decimal) -> str:
    """Where a number stands, also with a sign or counted in units of 10**-18."""
    for place, value in places(request):
        if isinstance(value, bool) or value is None:
            continue
        try:
            number = abs(Decimal(str(value)))
        except InvalidOperation:
            continue
        if number in (wanted, wanted.scaleb(18)):
            return place
    return ""


def signed_by(request: Request) -> list[str]:
    """Names of headers and parameters that look like a key or signature and hold something long."""
    found = [f"header {name}" for name, value in request.headers.items() if _SIGNS.search(name) and len(value) > 3]
    return found + [
        place
        for place, value in places(request)
        if _SIGNS.search(place) and not place.startswith("path") and len(str(value)) > 7
    ]
