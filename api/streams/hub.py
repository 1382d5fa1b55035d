"""All channels of a process, and the sessions that read them.

Whoever publishes marks the subscribed sessions and goes on; each session reads by itself, as fast as its socket takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from api.core import figures
from api.streams.channel import Changes, Channel
from api.streams.watches import Watches

LOSSLESS: Final = frozenset({"orders", "approvals", "alerts"})
EVENTS: Final = frozenset({"fills", "notices", "trades"})
STATE: Final = frozenset({"pnl", "positions", "books", "strategies", "backtests"})
CHANNELS: Final = LOSSLESS | EVENTS | STATE
"""By name; what each holds is in docs/api/streams.md."""


class Subscription:
    """One session on one channel: how far it has read."""

    __slots__ = ("channel", "seen")

    def __init__(self, channel: Channel, seen: int | None) -> None:
        self.channel = channel
        self.seen = seen
        """None before the snapshot was sent."""


class Lagging(Exception):
    """A session stands so far back on a lossless channel that something is no longer there for it."""


class Session:
    """One connection. `next` gives what is to be sent; only its own task calls it."""

    def __init__(self) -> None:
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self._dirty: dict[tuple[str, str], None] = {}
        self._said: list[bytes] = []
        self._wake = asyncio.Event()
        self.since = 0.0
        """When the first of what was given last came here, by `time.perf_counter`."""
        self._first = 0.0
        self._is_sending = False
        """What `next` gave last may not have left yet."""
        self.direct: Callable[[bytes], bool] | None = None
        """Sends a message now, or says that it cannot; set where the socket has such a way."""

    def say(self, message: bytes) -> None:
        """Have something sent that belongs to no channel."""
        if self._is_free() and self.direct is not None and self.direct(message):
            return
        self._said.append(message)
        self._stir()

    @property
    def unread(self) -> int:
        """How many messages of no channel wait to be sent."""
        return len(self._said)

    def mark(self, name: tuple[str, str]) -> None:
        """Something of a channel is to be read: now, where nothing is before it and the socket takes it."""
        if self._is_free() and self._send_now(name):
            return
        self._dirty[name] = None
        self._stir()

    def _is_free(self) -> bool:
        """Whether something may be sent at once: nothing is before it."""
        return self.direct is not None and not (self._is_sending or self._wake.is_set())

    def _send_now(self, name: tuple[str, str]) -> bool:
        """Send the next delta of a channel without waking a task: that is most of what sending costs."""
        subscription = self.subscriptions.get(name)
        if subscription is None or subscription.seen is None:
            return False
        found = subscription.channel.read(subscription.seen)
        if found is None or len(found[0]) != 1:
            return False
        assert self.direct is not None
        if not self.direct(found[0][0]):
            return False
        subscription.seen = found[1]
        return True

    def _stir(self) -> None:
        if not self._wake.is_set():
            self._first = time.perf_counter()
            self._wake.set()

    async def next(self) -> list[bytes]:
        """Wait until there is something, and give all of it.

        Raises:
            Lagging: See there.
        """
        self._is_sending = False
        while True:
            await self._wake.wait()
            if messages := self.take():
                self._is_sending = True
                return messages

    def take(self) -> list[bytes]:
        """Give what there is to send, in its order.

        Raises:
            Lagging: See there.
        """
        self._wake.clear()
        self.since = self._first
        messages, self._said = self._said, []
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            if (subscription := self.subscriptions.get(name)) is not None:
                messages += _read(subscription)
        return messages

    def beat(self, time_ns: int) -> bytes:
        """Say where each subscription stands: who lost the last of a channel notices by this."""
        at = [[s.channel.name, s.channel.key, s.channel.epoch, s.seen] for s in self.subscriptions.values()]
        return msgspec.json.encode({"t": "beat", "ts": str(time_ns), "at": at})


class Hub:
    """See the module."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._channels: dict[tuple[str, str], Channel] = {}
        self._readers: dict[tuple[str, str], dict[Session, None]] = {}
        self.sessions: set[Session] = set()
        self.watches = Watches()

    def channel(self, name: str, key: str) -> Channel:
        """The channel of a name and a key, made if there is none."""
        found = self._channels.get((name, key))
        if found is None:
            found = self._channels[name, key] = Channel(
                name, key, self._now_ns, is_lossless=name in LOSSLESS, is_events=name in EVENTS
            )
        return found

    def publish(self, name: str, key: str, changes: Changes) -> None:
        if self.channel(name, key).publish(changes):
            self._mark(name, key)

    def replace(self, name: str, key: str, state: Changes) -> None:
        if self.channel(name, key).replace(state):
            self._mark(name, key)

    def channels(self, name: str) -> Iterator[Channel]:
        """Every channel of a name."""
        return (channel for (found, _), channel in self._channels.items() if found == name)

    def read_keys(self, name: str) -> frozenset[str]:
        """The keys under which somebody reads channels of a name."""
        return frozenset(key for found, key in self._readers if found == name)

    def open(self) -> Session:
        session = Session()
        self.sessions.add(session)
        return session

    def close(self, session: Session) -> None:
        self.sessions.discard(session)
        for name in tuple(session.subscriptions):
            self.unsubscribe(session, *name)

    def subscribe(
        self, session: Session, name: str, key: str, *, epoch: str | None = None, seq: int | None = None
    ) -> None:
        """Read a channel from where the session says it stands, or from its snapshot."""
        channel = self.channel(name, key)
        seen = channel.begin(epoch, seq)
        if epoch is not None:
            figures.SEQ_GAP_RESUBS.labels("snapshot" if seen is None else "resumed").inc()
        session.subscriptions[name, key] = Subscription(channel, seen)
        self._readers.setdefault((name, key), {})[session] = None
        session.mark((name, key))

    def unsubscribe(self, session: Session, name: str, key: str) -> None:
        session.subscriptions.pop((name, key), None)
        readers = self._readers.get((name, key), {})
        readers.pop(session, None)
        if not readers:
            self._readers.pop((name, key), None)

    def _mark(self, name: str, key: str) -> None:
        marked = (name, key)
        for session in self._readers.get(marked, ()):
            session.mark(marked)


def _read(subscription: Subscription) -> list[bytes]:
    channel = subscription.channel
    if subscription.seen is None:
        subscription.seen = channel.seq
        return [channel.snapshot()]
    seen = subscription.seen
    found = channel.read(seen)
    if found is not None:
        messages, subscription.seen = found
        if messages and subscription.seen - seen > len(messages):
            figures.CONFLATED.labels(channel.name).inc(subscription.seen - seen - len(messages))
        return messages
    if channel.is_lossless:
        raise Lagging(channel.name)
    subscription.seen = channel.seq
    return [channel.snapshot()]
