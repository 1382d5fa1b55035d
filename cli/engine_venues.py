"""What a running engine tells of its exchanges: where each stands now, and what every exchange is known to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cex.venues.matrix import FILLED, Capability, capabilities
from engine.native import NativeKernel
from engine.ports import ExchangeVenue, Watched


def describe_venues(venues: Mapping[str, ExchangeVenue], kernel: NativeKernel, now_ns: int) -> list[dict[str, Any]]:
    """Each venue of the run: its books as the kernel believes them, its account, its clock."""
    return [_venue(name, venue, kernel, now_ns) for name, venue in venues.items()]


def describe_exchanges() -> list[dict[str, Any]]:
    """Every exchange that an adapter was tried with, and how each thing is done there."""
    return [_exchange(found) for found in capabilities().values()]


def _venue(name: str, venue: ExchangeVenue, kernel: NativeKernel, now_ns: int) -> dict[str, Any]:
    books = [_book(instrument, kernel, now_ns) for instrument in venue.instruments]
    health = venue.health() if isinstance(venue, Watched) else {}
    exchange = str(health.get("exchange") or "")
    known = capabilities().get(exchange)
    return {
        "id": name,
        "exchange": exchange or None,
        "is_connected": any(book["is_valid"] for book in books),
        "is_trading": bool(health.get("is_trading")),
        "is_paper": bool(health.get("is_paper")),
        "failure": health.get("failure"),
        "clock_ahead_ms": health.get("clock_ahead_ms"),
        "books": books,
        "capabilities": None if known is None else _exchange(known),
    }


def _book(instrument: str, kernel: NativeKernel, now_ns: int) -> dict[str, Any]:
    book = kernel.markets.books[instrument]
    age_ms = None if not book.changed_ns else max(0, now_ns - book.changed_ns) // 1_000_000
    return {"instrument": instrument, "is_valid": book.valid, "age_ms": age_ms}


def _exchange(found: Capability) -> dict[str, Any]:
    return {
        "id": found.id,
        "title": found.title,
        "kinds": list(found.kinds),
        "has_testnet": found.has_testnet,
        "trades": found.trades,
        "why_not": found.why_not or None,
        "features": {
            feature: {"way": way, "filled_by": FILLED[feature, way]} for feature, way in found.features.items()
        },
    }
