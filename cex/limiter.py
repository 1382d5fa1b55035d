"""Request budgets: what a venue allows per window, counted here and corrected by what the venue says it counted.

A venue has several buckets (request weight a minute, orders per ten seconds and per day). Windows are fixed and start
at multiples of their length on the venue's clock. Part of every bucket is kept for cancels, so that a burst of quotes
or queries can never take away the means to get out of the market. Orders do not wait for room, because a late order is
a wrong order: they are refused. Cancels and queries wait, within a bound.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from domain import VenueUnavailable
from runtime import Clock

log = structlog.get_logger(__name__)

CANCEL_RESERVE = 0.1
_SECOND_NS = 1_000_000_000
_UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
_LETTERS = {"S": 1, "M": 60, "H": 3600, "D": 86400}
_HEADER = re.compile(r"x-mbx-(used-weight|order-count)-(\d+)([smhd])", re.IGNORECASE)


class Lane(Enum):
    ORDER = "order"
    QUERY = "query"
    CANCEL = "cancel"


@dataclass(slots=True)
class Bucket:
    """At most `limit` units of `kind` per window."""

    kind: str
    """What is counted: `weight` (of every request), `requests` (every one), `orders` (new ones), `trading` (orders and
    cancels) or `queries` (all that is not trading)."""
    limit: int
    window_ns: int
    used: int = 0
    window: int = -1

    def roll(self, now_ns: int) -> None:
        window = now_ns // self.window_ns
        if window != self.window:
            self.window, self.used = window, 0

    def left(self, lane: Lane) -> int:
        reserve = 0 if lane is Lane.CANCEL else max(1, int(self.limit * CANCEL_RESERVE))
        return self.limit - reserve - self.used


class Budget:
    """The buckets of one account at one venue. Pure: instants in (nanoseconds, the venue's UTC), waits out."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self.buckets = list(buckets)
        self._blocked_until_ns = 0

    def take(self, lane: Lane, costs: Mapping[str, int], now_ns: int) -> int:
        """Take the costs by kind from every bucket, all or none; return how many nanoseconds to wait, 0 when taken."""
        if now_ns < self._blocked_until_ns:
            return self._blocked_until_ns - now_ns
        wait_ns = 0
        for bucket in self.buckets:
            bucket.roll(now_ns)
            if costs.get(bucket.kind, 0) > bucket.left(lane):
                wait_ns = max(wait_ns, (bucket.window + 1) * bucket.window_ns - now_ns)
        if wait_ns == 0:
            for bucket in self.buckets:
                bucket.used += costs.get(bucket.kind, 0)
        return wait_ns

    def observe(self, kind: str, window_ns: int, used: int, now_ns: int) -> None:
        """Believe the venue when it counted more than we did: other processes use the same account and address."""
        for bucket in self.buckets:
            if bucket.kind == kind and bucket.window_ns == window_ns:
                bucket.roll(now_ns)
                bucket.used = max(bucket.used, used)

    def block(self, until_ns: int) -> None:
        """Send nothing until then: the venue answered 429 or 418."""
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)


class Limiter:
    """The shell around a budget: waits, refuses, and reads the venue's headers."""

    def __init__(self, budget: Budget, clock: Clock, *, wait_ns_max: int = 10 * _SECOND_NS) -> None:
        self.budget = budget
        self._clock = clock
        self._wait_ns_max = wait_ns_max

    async def enter(self, lane: Lane, *, weight: int = 1, orders: int = 0) -> None:
        """Return once a request may be sent.

        Raises:
            VenueUnavailable: There is no room: at once for an order, after a bounded wait otherwise.
        """
        is_query = lane is Lane.QUERY
        costs = {
            "weight": weight,
            "orders": orders,
            "requests": 1,
            "trading": int(not is_query),
            "queries": int(is_query),
        }
        deadline_ns = self._clock.now_ns() + self._wait_ns_max
        while wait_ns := self.budget.take(lane, costs, now_ns := self._clock.now_ns()):
            if lane is Lane.ORDER or now_ns + wait_ns > deadline_ns:
                raise VenueUnavailable(f"throttled: the venue's limits leave no room for {wait_ns / 1e9:.1f} s")
            await asyncio.sleep(wait_ns / 1e9)

    def observe_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take the `rateLimits` that answers of the WebSocket API carry."""
        now_ns = self._clock.now_ns()
        for row in rows:
            with suppress(LookupError, TypeError, ValueError):  # It only advises; the answer itself is what matters.
                for bucket in buckets_of([row]):
                    self.budget.observe(bucket.kind, bucket.window_ns, int(row["count"]), now_ns)

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Take what a response says about our use of the limits."""
        now_ns = self._clock.now_ns()
        for name, value in headers.items():
            if (match := _HEADER.fullmatch(name)) and value.isdigit():
                kind = "weight" if match[1].lower() == "used-weight" else "orders"
                window_ns = int(match[2]) * _LETTERS[match[3].upper()] * _SECOND_NS
                self.budget.observe(kind, window_ns, int(value), now_ns)
        if status in (418, 429):
            after = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
            seconds = int(after) if after.isdigit() else 1
            log.warning("limiter.blocked", status=status, seconds=seconds)
            self.budget.block(now_ns + seconds * _SECOND_NS)


def buckets_of(rate_limits: Iterable[Mapping[str, Any]]) -> list[Bucket]:
    """Read the `rateLimits` of a Binance-protocol exchangeInfo."""
    kinds = {"REQUEST_WEIGHT": "weight", "ORDERS": "orders", "RAW_REQUESTS": "requests"}
    return [
        Bucket(
            kinds[row["rateLimitType"]],
            int(row["limit"]),
            int(row["intervalNum"]) * _UNITS[row["interval"]] * _SECOND_NS,
        )
        for row in rate_limits
        if row.get("rateLimitType") in kinds and row.get("interval") in _UNITS
    ]


def default_buckets(ms_per_request: float) -> list[Bucket]:
    """Make one bucket from ccxt's `rateLimit`, the milliseconds it would leave between requests, over ten seconds."""
    return [Bucket("requests", max(10, int(10_000 / max(ms_per_request, 1))), 10 * _SECOND_NS)]
