"""Rate limits in fixed windows of the clock, as Binance counts them: weight per address, orders per account.

Orders that trade do not count: an order's first fill takes it back, and more than it when the order had waited.
Source: https://developers.binance.com/docs/binance-spot-api-docs/faqs/order_count_decrement
"""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox.config import LimitsConfig
from cex.sandbox.errors import banned, too_many_orders, too_many_raw_requests, too_many_requests
from cex.sandbox.orders import ExchangeEvent, OrderReported

_MINUTE_MS: Final = 60_000
_TEN_SECONDS_MS: Final = 10_000
_FIVE_MINUTES_MS: Final = 300_000
_DAY_MS: Final = 86_400_000
_KEYS_MAX: Final = 10_000
_BAN_MS: Final = 2 * _MINUTE_MS
_BAN_MAX_MS: Final = 3 * _DAY_MS
_TAKER_FILL: Final = 1
_MAKER_FILL: Final = 5


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

    def take_back(self, key: str, amount: int, now_ms: int) -> None:
        """Count less, never below zero."""
        self._roll(now_ms)
        if key in self._counts:
            self._counts[key] = max(0, self._counts[key] - amount)

    def retry_after_s(self, now_ms: int) -> int:
        return (self._window_ms - now_ms % self._window_ms + 999) // 1000

    def _roll(self, now_ms: int) -> None:
        window = now_ms // self._window_ms
        if window != self._window:
            self._window = window
            self._counts.clear()


class Bans:
    """Addresses that went on after 429. Each ban of one is twice as long as its last, from 2 minutes to 3 days."""

    def __init__(self, refusals_before_ban: int) -> None:
        self._refusals = WindowCounter(_MINUTE_MS, refusals_before_ban)
        self._until: dict[str, int] = {}
        self._bans: dict[str, int] = {}

    def refused(self, address: str, now_ms: int) -> None:
        """Note a 429, and ban whoever had too many of them."""
        if self._refusals.add(address, 1, now_ms):
            return
        if len(self._bans) >= _KEYS_MAX:
            self._bans.clear()
        self._bans[address] = self._bans.get(address, 0) + 1
        self._until[address] = now_ms + min(_BAN_MS << (self._bans[address] - 1), _BAN_MAX_MS)

    def until(self, address: str, now_ms: int) -> int | None:
        """When an address's ban ends; None if there is none."""
        until = self._until.get(address)
        if until is not None and until <= now_ms:
            del self._until[address]
            return None
        return until


class RateLimits:
    """The exchange's counters and how they are told."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._weight = WindowCounter(_MINUTE_MS, limits.weight_per_minute)
        self._bans = Bans(limits.refusals_before_ban)
        self._orders_10s = WindowCounter(_TEN_SECONDS_MS, limits.orders_per_10_seconds)
        self._requests = WindowCounter(_FIVE_MINUTES_MS, limits.requests_per_5_minutes)
        self._orders_day = WindowCounter(_DAY_MS, limits.orders_per_day)

    def use_weight(self, address: str, weight: int, now_ms: int, *, requests: int = 1) -> None:
        """Count a request, or with `requests` 0 what one weighs on top.

        Raises:
            ApiError: 429 / -1003 with Retry-After; 418 when the address goes on all the same.
        """
        until = self._bans.until(address, now_ms)
        if until is not None:
            raise banned(until, (until - now_ms + 999) // 1000)
        if not self._weight.add(address, weight, now_ms):
            self._bans.refused(address, now_ms)
            raise too_many_requests(self._weight.limit, self._weight.retry_after_s(now_ms))
        if requests and not self._requests.add(address, requests, now_ms):
            self._bans.refused(address, now_ms)
            raise too_many_raw_requests(self._requests.limit, self._requests.retry_after_s(now_ms))

    def use_order(self, account: str, now_ms: int) -> None:
        """Count a new order.

        Raises:
            ApiError: 429 / -1015.
        """
        for counter, interval in ((self._orders_10s, "10 SECOND"), (self._orders_day, "1 DAY")):
            if not counter.add(account, 1, now_ms):
                raise too_many_orders(counter.limit, interval)

    def on_event(self, event: ExchangeEvent) -> None:
        """Take back what an order counted, as it starts to trade."""
        if isinstance(event, OrderReported) and event.trade is not None and event.filled_lots == event.trade.lots:
            amount = _MAKER_FILL if event.trade.is_maker else _TAKER_FILL
            for counter in (self._orders_10s, self._orders_day):
                counter.take_back(event.order.account.name, amount, event.time_ms)

    def headers(self, address: str, account: str | None, now_ms: int) -> dict[str, str]:
        """The headers of an answer; order counts only for an `account` that placed one."""
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
        raw = {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": self._requests.limit}
        return [self._weight_limit(), *self._order_limits(), raw]

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
