"""Rates with weights: each caller has so much per minute, a call costs its weight, and answers say what is left.

The count is one number a caller (GCRA, ITU-T I.371): the moment at which all it has spent will have flowed off. One
process keeps it in memory; several share it in Redis. Answers carry `RateLimit-Limit`, `-Remaining`, `-Reset` (seconds
until all of it is there again), refusals `Retry-After`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.core.errors import TooManyRequests
from domain import VenueUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MINUTE_NS: Final = 60 * 10**9
_CALLERS_MAX: Final = 100_000
_HEADERS: Final = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")

_SPEND: Final = """
local due = tonumber(redis.call('GET', KEYS[1]) or '0')
local now, cost, all = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if due < now then due = now end
if due + cost - now > all then return {0, tostring(due - now)} end
due = due + cost
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
return {1, tostring(due - now)}
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """How a caller stands after a call."""

    limit: int
    is_allowed: bool
    owed_ns: int
    """What it has spent flows off in this time."""

    @property
    def remaining(self) -> int:
        return max(0, self.limit - -(-self.owed_ns * self.limit // _MINUTE_NS))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What an answer says of it, as ASGI has headers."""
        told = (self.limit, self.remaining, -(-self.owed_ns // 10**9))
        return [(name, b"%d" % number) for name, number in zip(_HEADERS, told, strict=True)]

    def check(self, weight: int) -> None:
        """Stop a call that is too much.

        Raises:
            TooManyRequests: With the seconds after which it would pass.
        """
        if self.is_allowed:
            return
        wait_ns = self.owed_ns + weight * _MINUTE_NS // self.limit - _MINUTE_NS
        wait_s = max(1, -(-wait_ns // 10**9))
        raise TooManyRequests(
            f"beyond {self.limit} a minute; this call costs {weight}",
            hint=f"again in {wait_s} s",
            headers={name.decode(): value.decode() for name, value in self.headers()} | {"retry-after": str(wait_s)},
        )


class Rates(Protocol):
    """Counts what callers spend."""

    async def spend(self, caller: str, weight: int, limit: int, now_ns: int) -> Spent:
        """Spend a weight of `limit` a minute; where that is too much nothing is spent."""
        ...


class MemoryRates:
    """Of one process. The callers that were here longest ago are forgotten first; what they owe has flowed off."""

    def __init__(self, callers_max: int = _CALLERS_MAX) -> None:
        self._callers_max = callers_max
        self._due_ns: OrderedDict[str, int] = OrderedDict()

    async def spend(self, caller: str, weight: int, limit: int, now_ns: int) -> Spent:
        due_ns = max(self._due_ns.get(caller, 0), now_ns)
        cost_ns = weight * _MINUTE_NS // limit
        if due_ns + cost_ns - now_ns > _MINUTE_NS:
            return Spent(limit, False, due_ns - now_ns)
        self._due_ns[caller] = due_ns + cost_ns
        self._due_ns.move_to_end(caller)
        while len(self._due_ns) > self._callers_max:
            self._due_ns.popitem(last=False)
        return Spent(limit, True, due_ns + cost_ns - now_ns)


class RedisRates:
    """Shared by all processes of an installation. Counts in microseconds: Lua's numbers are exact up to 2^53."""

    def __init__(self, redis: Redis) -> None:
        self._spend = redis.register_script(_SPEND)

    async def spend(self, caller: str, weight: int, limit: int, now_ns: int) -> Spent:
        from redis.exceptions import RedisError

        cost_us = weight * _MINUTE_NS // limit // 1000
        try:
            is_allowed, owed = await self._spend(
                keys=[f"capstan:rate:{caller}"], args=[now_ns // 1000, cost_us, _MINUTE_NS // 1000]
            )
        except RedisError as exc:
            raise VenueUnavailable("the store of rates does not answer") from exc
        return Spent(limit, bool(is_allowed), round(float(owed)) * 1000)


class RateHeaders:
    """Adds to each answer what its caller has left; the gate has put it into the request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_rate(message: Message) -> None:
            spent: Spent | None = scope.get("state", {}).get("spent")
            if spent is not None and message["type"] == "http.response.start":
                # A refusal brings them itself.
                kept = [header for header in message.get("headers", ()) if header[0] not in _HEADERS]
                message["headers"] = kept + spent.headers()
            await send(message)

        await self._app(scope, receive, send_with_rate)
