"""Rate limits in fixed windows of the clock, as Binance counts them: weight per address, orders per account."""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox.config import LimitsConfig
from cex.sandbox.errors import too_many_orders, too_many_requests

_MINUTE_MS: Final = 60_000
_TEN_SECONDS_MS: Final = 10_000
_DAY_MS: Final = 86_400_000
_KEYS_MAX: Final = 10_000


class WindowCounter:
    """Counts per key within the present window; all is forgotten when the next one begins."""

    def __init__(self, window_ms: int, limit: int) -> None:
        self.limit = limit
        self._window_ms = window_ms
        self._window = -1
        self._counts: dict[str, int] = {}

    def count(self, key: str, now_ms: int) -> int:
        self._roll(now_ms)
        return self._counts.get(key, 0)

    def add(self, key: str, amount: int, now_ms: int) -> bool:
        """Count, and say whether the key is still within the limit."""
        self._roll(now_ms)
        if key not in self._counts and len(self._counts) >= _KEYS_MAX:
            self._counts.clear()
        self._counts[key] = self._counts.get(key, 0) + amount
        return self._counts[key] <= self.limit

    def retry_after_s(self, now_ms: int) -> int:
        return (self._window_ms - now_ms % self._window_ms + 999) // 1000

    def _roll(self, now_ms: int) -> None:
        window = now_ms // self._window_ms
        if window != self._window:
            self._window = window
            self._counts.clear()


class RateLimits:
    """The exchange's counters and how they are told."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._weight = WindowCounter(_MINUTE_MS, limits.weight_per_minute)
        self._orders_10s = WindowCounter(_TEN_SECONDS_MS, limits.orders_per_10_seconds)
        self._orders_day = WindowCounter(_DAY_MS, limits.orders_per_day)

    def use_weight(self, address: str, weight: int, now_ms: int) -> None:
        """Count a request.

        Raises:
            ApiError: 429 / -1003 with Retry-After.
        """
        if not self._weight.add(address, weight, now_ms):
            raise too_many_requests(self._weight.limit, self._weight.retry_after_s(now_ms))

    def use_order(self, account: str, now_ms: int) -> None:
        """Count a new order.

        Raises:
            ApiError: 429 / -1015 with Retry-After.
        """
        for counter, interval in ((self._orders_10s, "10 SECOND"), (self._orders_day, "1 DAY")):
            if not counter.add(account, 1, now_ms):
                raise too_many_orders(counter.limit, interval, counter.retry_after_s(now_ms))

    def headers(self, address: str, account: str | None, now_ms: int) -> dict[str, str]:
        used = str(self._weight.count(address, now_ms))
        headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if account is not None:
            headers["X-MBX-ORDER-COUNT-10S"] = str(self._orders_10s.count(account, now_ms))
            headers["X-MBX-ORDER-COUNT-1D"] = str(self._orders_day.count(account, now_ms))
        return headers

    def order_view(self, account: str, now_ms: int) -> list[dict[str, Any]]:
        """Order limits with counts, as `rateLimit/order` tells them."""
        ten, day = self._order_limits()
        return [
            ten | {"count": self._orders_10s.count(account, now_ms)},
            day | {"count": self._orders_day.count(account, now_ms)},
        ]

    def weight_view(self, address: str, now_ms: int) -> list[dict[str, Any]]:
        """The weight limit with its count, as WebSocket API answers carry it."""
        return [self._weight_limit() | {"count": self._weight.count(address, now_ms)}]

    def view(self) -> list[dict[str, Any]]:
        """The limits as exchangeInfo tells them."""
        return [self._weight_limit(), *self._order_limits()]

    def _weight_limit(self) -> dict[str, Any]:
        return {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._weight.limit,
        }

    def _order_limits(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return (
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self._orders_10s.limit},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": self._orders_day.limit},
        )
