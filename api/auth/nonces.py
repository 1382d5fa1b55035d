"""What was seen is refused: the nonces of signed requests, for as long as their requests are good.

One process keeps them in memory; several that serve the same installation share them in Redis.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, Protocol

from api.core.errors import TooManyRequests, Unauthenticated
from domain import VenueUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_KEPT_MAX: Final = 500_000


class Nonces(Protocol):
    """Takes each nonce once."""

    async def take(self, key: str, nonce: str, *, made_ms: int, until_ms: int, now_ms: int) -> None:
        """Remember a nonce of a key until its request is no longer good.

        Raises:
            Unauthenticated: Code `replayed_request`: it was here before.
        """
        ...


class MemoryNonces:
    """Of one process. What was signed before it started is refused: the one before may have answered that already."""

    def __init__(self, started_ms: int, kept_max: int = _KEPT_MAX) -> None:
        self._started_ms = started_ms
        self._kept_max = kept_max
        self._seen: set[tuple[str, str]] = set()
        self._ends: list[tuple[int, str, str]] = []

    async def take(self, key: str, nonce: str, *, made_ms: int, until_ms: int, now_ms: int) -> None:
        if made_ms < self._started_ms:
            raise Unauthenticated(
                "signed before this server started", code="stale_request", hint="sign it again and send it again"
            )
        while self._ends and self._ends[0][0] < now_ms:
            _, *old = heapq.heappop(self._ends)
            self._seen.discard((old[0], old[1]))
        if (key, nonce) in self._seen:
            raise replayed()
        if len(self._seen) >= self._kept_max:
            # Forgetting one that is still good would let its request pass twice.
            raise TooManyRequests("too many signed requests at once", headers={"retry-after": "5"})
        self._seen.add((key, nonce))
        heapq.heappush(self._ends, (until_ms, key, nonce))


class RedisNonces:
    """Shared by all processes of an installation. While Redis does not answer, nothing signed passes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, key: str, nonce: str, *, made_ms: int, until_ms: int, now_ms: int) -> None:
        from redis.exceptions import RedisError

        try:
            # A millisecond more than it is good for: the clocks of two processes are not the same.
            kept_ms = max(until_ms - made_ms, until_ms - now_ms) + 1_001
            is_new = await self._redis.set(f"capstan:nonce:{key}:{nonce}", b"", nx=True, px=kept_ms)
        except RedisError as exc:
            raise VenueUnavailable("the store of nonces does not answer") from exc
        if not is_new:
            raise replayed()


def replayed() -> Unauthenticated:
    return Unauthenticated(
        "this signed request was here before", code="replayed_request", hint="each request has a nonce of its own"
    )
