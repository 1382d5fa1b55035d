"""What ends an order before it arrives too late."""

from __future__ import annotations

from datetime import datetime

import pytest

from cex.connection import Connection
from cex.expiry import deadline
from cex.settings import VenueSettings
from cex.venues import profile_of
from runtime import SystemClock

NOW_MS = 1_790_000_000_123


@pytest.mark.parametrize(("window_ms", "ahead_ms"), [(3_000, 3_000), (100, 2_000), (60_000, 60_000)])
def test_krakens_deadline_is_the_window_but_never_too_soon(window_ms: int, ahead_ms: int) -> None:
    text = deadline(NOW_MS, window_ms)
    assert text.endswith("Z")
    assert round(datetime.fromisoformat(text).timestamp() * 1000) == NOW_MS + ahead_ms


def test_kraken_order_is_not_given_up_before_its_least_deadline() -> None:
    settings = VenueSettings(
        id="x", exchange="kraken", base_url="http://127.0.0.1:1", instruments=("BTC/USD",), recv_window_ms=100
    )
    connection = Connection(settings, SystemClock(), None)
    ends_ms = datetime.fromisoformat(deadline(NOW_MS, settings.recv_window_ms)).timestamp() * 1000
    assert connection.late_ns / 1e6 >= round(ends_ms) - NOW_MS


@pytest.mark.parametrize(("exchange", "late_s"), [("binance", 0), ("okx", 30), ("coinbase", 120), ("bitstamp", 60)])
def test_absence_is_believed_only_when_the_venue_would_refuse_the_order(exchange: str, late_s: int) -> None:
    settings = VenueSettings(id="x", exchange=exchange, base_url="http://127.0.0.1:1", instruments=("BTC/USDT",))
    assert Connection(settings, SystemClock(), None).late_ns == late_s * 1_000_000_000
    assert profile_of(exchange).late_s == late_s
