"""Orders that end by themselves before they arrive: an expiry goes with each, where the venue takes one.

That an order is unknown to a venue is believed only when it can no longer arrive. Binance and Bybit refuse what is
older than its window; Kraken takes a deadline as a parameter; Hyperliquid's nonces hold for days, so `expiresAfter` is
signed with each order (`cex.hyperliquid`).
"""

from __future__ import annotations

from datetime import UTC, datetime

KRAKEN_MS_MIN = 2_000
"""The least that Kraken takes, from its own clock."""


def least_ms(kind: str) -> int:
    """Give how long an order may arrive at least, whatever the window, by a profile's `expiry`."""
    return KRAKEN_MS_MIN if kind == "deadline" else 0


def deadline(now_ms: int, window_ms: int) -> str:
    """Give Kraken's `deadline`: RFC 3339, UTC."""
    return (
        datetime.fromtimestamp((now_ms + max(window_ms, KRAKEN_MS_MIN)) / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
