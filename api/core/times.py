"""Instants on the wire: RFC 3339 in UTC, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(ns: int) -> datetime:
    """Give nanoseconds since the epoch as an aware datetime, rounded down to the microsecond; exact, without floats."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def instant_or_none(ns: int | None) -> datetime | None:
    return None if ns is None else instant(ns)
