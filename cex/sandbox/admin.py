"""The sandbox's own door: is it well, and which faults are armed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiohttp import WSCloseCode, web

from cex.sandbox import errors
from cex.sandbox.capital import Capital
from cex.sandbox.connections import Connection
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import COUNT_MAX, IMMEDIATE, Faults
from cex.sandbox.params import Params
from cex.sandbox.userdata import UserData

_DELAY_MS_MAX = 60_000
_SKEW_MS_MAX = 86_400_000
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Admin:
    """`GET /_sandbox/health`, and with `--faults` `GET|POST /_sandbox/faults` and `POST /_sandbox/deposits`.

    `connections` are all that are open now, oldest first.
    """

    def __init__(
        self,
        exchange: Exchange,
        faults: Faults,
        connections: Collection[Connection],
        capital: Capital,
        user_data: UserData,
        token: str | None,
    ) -> None:
        self._token = token
        self._user_data = user_data
        self._capital = capital
        self._exchange = exchange
        self._faults = faults
        self._connections = connections

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "ok",
                "symbols": list(self._exchange.markets),
                "connections": len(self._connections),
                "stalled": sum(connection.is_stalled for connection in self._connections),
                "updates": {name: market.update_id for name, market in self._exchange.markets.items()},
            }
        )

    def guarded(self, handler: Handler) -> Handler:
        """Let a handler answer only who brings the token, if there is one: `Authorization: Bearer …`."""
        if self._token is None:
            return handler
        expected = f"Bearer {self._token}".encode()

        async def guard(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").encode(errors="replace")
            if not hmac.compare_digest(given, expected):
                return web.json_response({"code": -2015, "msg": "This door wants the admin token."}, status=401)
            return await handler(request)

        return guard

    async def faults(self, request: web.Request) -> web.Response:
        """Show what is armed, or arm a fault: `{"fault": name, "count": n}` or `{…, "probability": p, "seed": n}`."""
        try:
            if request.method == "POST":
                self._arm(_object(await request.text()))
        except ApiError as exc:
            return web.json_response(exc.view(), status=exc.http_status)
        return web.json_response(self._faults.view())

    async def deposit(self, request: web.Request) -> web.Response:
        """Let a deposit arrive: `{"account": name, "coin": coin, "amount": text, "tx_id": text}`."""
        try:
            order = _object(await request.text())
            params = Params({name: str(value) for name, value in order.items()})
            raw = params.amount("amount")
            if not raw:
                raise errors.invalid_parameter("amount")
            self._capital.credit(params.required("account"), params.required("coin"), raw, params.required("tx_id"))
        except ApiError as exc:
            return web.json_response(exc.view(), status=exc.http_status)
        return web.json_response({})

    def _arm(self, order: dict[str, Any]) -> None:
        fault, faults = order.get("fault"), self._faults
        if not isinstance(fault, str):
            raise errors.invalid_parameter("fault")
        if "delay_ms" in order:
            faults.delay_ms = _whole(order, "delay_ms", 0, _DELAY_MS_MAX)
        if fault in IMMEDIATE:
            self._strike(fault, order)
        elif "probability" in order:
            probability = order["probability"]
            if isinstance(probability, bool) or not isinstance(probability, int | float):
                raise errors.invalid_parameter("probability")
            faults.arm_randomly(fault, probability, _whole(order, "seed", 0, 2**63, 0))
        else:
            faults.arm(fault, _whole(order, "count", 0, COUNT_MAX, 1))

    def _strike(self, fault: str, order: dict[str, Any]) -> None:
        match fault:
            case "none":
                self._faults.calm()
            case "clock_skew":
                self._faults.skew_ms = _whole(order, "skew_ms", -_SKEW_MS_MAX, _SKEW_MS_MAX)
            case "terminate_streams":
                self._user_data.terminate(self._exchange.clock_ms())
            case _:
                for connection in self._chosen(order):
                    if fault == "kill_sockets":
                        connection.close_soon(WSCloseCode.SERVICE_RESTART)
                    elif fault == "abort_sockets":
                        connection.abort()
                    else:
                        connection.stall()
        self._faults.struck[fault] += 1

    def _chosen(self, order: dict[str, Any]) -> list[Connection]:
        """Give the oldest connections of a door, `stream` or `api`; all of both when nothing is said."""
        door = order.get("door")
        if door not in (None, "stream", "api"):
            raise errors.invalid_parameter("door")
        found = [c for c in self._connections if door is None or c.is_of_streams == (door == "stream")]
        return found[: _whole(order, "oldest", 1, COUNT_MAX)] if "oldest" in order else found


def _whole(order: dict[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = order.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise errors.invalid_parameter(name)
    return value


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ApiError(-1135, "Invalid JSON") from exc
    if not isinstance(value, dict):
        raise ApiError(-1135, "Expected a JSON object")
    return value
