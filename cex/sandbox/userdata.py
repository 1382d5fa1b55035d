"""User data: each account's reports, to everyone subscribed as that account.

Three doors lead here: `userDataStream.subscribe.signature`, `session.logon` with `userDataStream.subscribe`, and the
legacy listenKey. The first two wrap events as `{"subscriptionId", "event"}`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cex.sandbox import errors, listviews, wire
from cex.sandbox.accounts import Account
from cex.sandbox.connections import Connection
from cex.sandbox.faults import Faults, Line
from cex.sandbox.orders import BalancesChanged, ExchangeEvent, ListReported, OrderReported
from cex.sandbox.timeunits import scaled

_LISTEN_KEY_MS: Final = 60 * 60 * 1000
"""A listenKey lives an hour from its last keep-alive."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One listener: with an `id` on the WebSocket API, with a `stream` by listenKey on a combined stream, else bare."""

    connection: Connection
    account: Account
    id: int | None = None
    stream: str | None = None

    def send(self, event: dict[str, Any]) -> None:
        if self.connection.is_in_microseconds:
            event = scaled(event)
        if self.id is not None:
            self.connection.send({"subscriptionId": self.id, "event": event})
        elif self.stream is not None:
            self.connection.send({"stream": self.stream, "data": event})
        else:
            self.connection.send(event)


class UserData:
    """Subscriptions by account."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._by_account: dict[int, list[Subscription]] = {}
        self._listen_keys: dict[str, tuple[Account, int]] = {}
        self._next_id = 0
        self._held: dict[int, dict[str, Any]] = {}
        self._lines: dict[int, Line] = {}

    # --- subscriptions

    def subscribe(self, connection: Connection, account: Account) -> int:
        """Subscribe a WebSocket API connection; return the subscription's id."""
        subscription = Subscription(connection, account, id=self._next_id)
        self._next_id += 1
        self._by_account.setdefault(account.id, []).append(subscription)
        return self._next_id - 1

    def unsubscribe(self, connection: Connection, subscription_id: int | None, now_ms: int) -> bool:
        """End one subscription of a connection, or all of them; return whether there was one."""
        gone = [
            subscription
            for subscription in self._of(connection)
            if subscription.id is not None and subscription_id in (None, subscription.id)
        ]
        for subscription in gone:
            self._by_account[subscription.account.id].remove(subscription)
            subscription.send({"e": "eventStreamTerminated", "E": now_ms})
        return bool(gone)

    def terminate(self, now_ms: int) -> None:
        """End every subscription of the WebSocket API; the connections stay."""
        for listeners in self._by_account.values():
            for connection in {subscription.connection for subscription in listeners}:
                self.unsubscribe(connection, None, now_ms)

    def forget(self, connection: Connection) -> None:
        """Drop what a closed connection was subscribed to."""
        for subscription in self._of(connection):
            self._by_account[subscription.account.id].remove(subscription)

    def subscriptions(self, connection: Connection) -> list[int]:
        return [subscription.id for subscription in self._of(connection) if subscription.id is not None]

    def _of(self, connection: Connection) -> list[Subscription]:
        return [s for listeners in self._by_account.values() for s in listeners if s.connection is connection]

    # --- legacy listen keys

    def open_listen_key(self, account: Account, now_ms: int) -> str:
        """Give the account's key, a new one if it has none; its hour begins again."""
        for key, (owner, expires_ms) in self._listen_keys.items():
            if owner is account and expires_ms > now_ms:
                self._listen_keys[key] = account, now_ms + _LISTEN_KEY_MS
                return key
        key = secrets.token_urlsafe(45)
        self._listen_keys[key] = account, now_ms + _LISTEN_KEY_MS
        return key

    def keep_listen_key(self, key: str, now_ms: int) -> None:
        account = self.listen_key_owner(key, now_ms)
        if account is None:
            raise errors.invalid_listen_key()
        self._listen_keys[key] = account, now_ms + _LISTEN_KEY_MS

    def close_listen_key(self, key: str, now_ms: int) -> None:
        account = self.listen_key_owner(key, now_ms)
        if account is None:
            raise errors.invalid_listen_key()
        del self._listen_keys[key]

    def listen_key_owner(self, key: str, now_ms: int) -> Account | None:
        account, expires_ms = self._listen_keys.get(key, (None, 0))
        return account if expires_ms > now_ms else None

    def attach(self, connection: Connection, key: str, account: Account, *, wrapped: bool) -> None:
        """Subscribe a market data connection through a listenKey."""
        subscription = Subscription(connection, account, stream=key if wrapped else None)
        self._by_account.setdefault(account.id, []).append(subscription)

    # --- events

    def on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, OrderReported):
            account = event.order.account
            if self._by_account.get(account.id):
                self._send_report(account, wire.execution_report(event))
        elif isinstance(event, ListReported):
            if self._by_account.get(event.order_list.account.id):
                self._send(event.order_list.account, listviews.list_status(event))
        elif isinstance(event, BalancesChanged) and self._by_account.get(event.account.id):
            self._send(event.account, wire.account_position(event))

    def _send_report(self, account: Account, report: dict[str, Any]) -> None:
        held = self._held.pop(account.id, None)
        if held is None and self._faults.take("out_of_order"):
            self._held[account.id] = report
            return
        self._send(account, report)
        if self._faults.take("duplicate_report"):
            self._send(account, report)
        if held is not None:
            self._send(account, held)

    def _send(self, account: Account, event: dict[str, Any]) -> None:
        if self._faults.take("lose_report"):
            return
        line = self._lines.get(account.id)
        if line is None:
            line = self._lines[account.id] = Line(self._faults, "delay_report")
        line.send(partial(self._deliver, account, event))

    def _deliver(self, account: Account, event: dict[str, Any]) -> None:
        for subscription in self._by_account.get(account.id, ()):
            subscription.send(event)
