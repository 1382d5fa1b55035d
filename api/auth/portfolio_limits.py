"""Which of the organisation's portfolios somebody is limited to: a set of ids, or None for all; in rows a JSON list."""

from __future__ import annotations

import msgspec

Limit = frozenset[str] | None


def read_limit(text: str | None) -> Limit:
    """Read what `write_limit` writes."""
    return None if text is None else frozenset(msgspec.json.decode(text, type=list[str]))


def write_limit(limit: Limit) -> str | None:
    """Write a limit for its row."""
    return None if limit is None else msgspec.json.encode(sorted(limit)).decode()


def listed(limit: Limit) -> list[str] | None:
    """A limit as answers show it."""
    return None if limit is None else sorted(limit)


def narrower(one: Limit, other: Limit) -> Limit:
    """The portfolios that both allow."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def is_within(limit: Limit, wider: Limit) -> bool:
    """Whether a limit allows no portfolio that `wider` does not."""
    return wider is None or (limit is not None and limit <= wider)
