"""The stream door: `/ws`, `/ws/<name>`, `/stream?streams=a/b` and what clients subscribe to on them."""

from __future__ import annotations

from typing import Any

from aiohttp import WSCloseCode

from cex.sandbox.config import LimitsConfig
from cex.sandbox.connections import Connection
from cex.sandbox.exchange import Exchange
from cex.sandbox.frames import BadFrame, Request
from cex.sandbox.ratelimits import WindowCounter
from cex.sandbox.streams import Hub, Subscriber
from cex.sandbox.userdata import UserData


class StreamSession:
    """One connection's subscriptions. Names may be streams or listenKeys."""

    def __init__(
        self,
        connection: Connection,
        hub: Hub,
        user_data: UserData,
        exchange: Exchange,
        *,
        wrapped: bool,
        limits: LimitsConfig,
    ) -> None:
        self._connection = connection
        self._hub = hub
        self._user_data = user_data
        self._exchange = exchange
        self._subscriber = Subscriber(connection, wrapped)
        self._streams_max = limits.streams_per_connection
        self._messages = WindowCounter(1_000, limits.stream_messages_per_second)
        self._listen_keys: set[str] = set()

    def open(self, names: list[str]) -> None:
        """Subscribe what the URL names."""
        try:
            self._subscribe(names)
        except BadFrame as bad:
            self._refuse(None, bad)

    def receive(self, request: Request | BadFrame) -> None:
        if not self._messages.add("", 1, self._exchange.clock_ms()):
            self._connection.close_soon(WSCloseCode.POLICY_VIOLATION)
            return
        if isinstance(request, BadFrame):
            self._refuse(None, request)
            return
        try:
            result = self._answer(request)
        except BadFrame as bad:
            self._refuse(request.id, bad)
        else:
            self._connection.send({"result": result, "id": request.id})

    def close(self) -> None:
        for name in self._hub.names(self._subscriber):
            self._hub.unsubscribe(name, self._subscriber)
        self._user_data.forget(self._connection)

    def _answer(self, request: Request) -> Any:
        match request.method:
            case "SUBSCRIBE":
                self._subscribe(_names(request.params))
                return None
            case "UNSUBSCRIBE":
                for name in _names(request.params):
                    self._hub.unsubscribe(name, self._subscriber)
                return None
            case "LIST_SUBSCRIPTIONS":
                return [*self._hub.names(self._subscriber), *sorted(self._listen_keys)]
            case "GET_PROPERTY" if request.params == ["combined"]:
                return self._subscriber.wrapped
            case "SET_PROPERTY" if request.params in (["combined", True], ["combined", False]):
                self._wrap(request.params[1])
                return None
            case "SET_PROPERTY" if isinstance(request.params, list) and request.params[:1] == ["combined"]:
                raise BadFrame(1, "Invalid value type: expected Boolean")
            case "GET_PROPERTY" | "SET_PROPERTY":
                raise BadFrame(0, "Unknown property")
        raise BadFrame(2, f"Invalid request: unknown variant `{request.method[:40]}`")

    def _subscribe(self, names: list[str]) -> None:
        now = self._exchange.clock_ms()
        owners = {name: self._user_data.listen_key_owner(name, now) for name in names}
        for name, owner in owners.items():
            if owner is None and not self._hub.knows(name):
                raise BadFrame(2, f"Invalid request: unknown stream `{name[:80]}`")
        if len(self._hub.names(self._subscriber)) + len(names) > self._streams_max:
            raise BadFrame(2, f"Invalid request: more than {self._streams_max} streams")
        for name, owner in owners.items():
            if owner is None:
                self._hub.subscribe(name, self._subscriber)
            elif name not in self._listen_keys:
                self._listen_keys.add(name)
                self._user_data.attach(self._connection, name, owner, wrapped=self._subscriber.wrapped)

    def _wrap(self, wrapped: bool) -> None:
        names = self._hub.names(self._subscriber)
        for name in names:
            self._hub.unsubscribe(name, self._subscriber)
        self._subscriber = Subscriber(self._connection, wrapped)
        for name in names:
            self._hub.subscribe(name, self._subscriber)

    def _refuse(self, request_id: int | str | None, bad: BadFrame) -> None:
        self._connection.send({"error": {"code": bad.code, "msg": bad.message}, "id": request_id})


def _names(params: Any) -> list[str]:
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        raise BadFrame(2, "Invalid request: params must be a list of stream names")
    return params
