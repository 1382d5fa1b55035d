"""The sandbox's own door: is it well, and which faults are armed."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import Any

from aiohttp import WSCloseCode, web

from cex.sandbox import errors
from cex.sandbox.capital import Capital
from cex.sandbox.connections import Connection
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import IMMEDIATE, Faults
from cex.sandbox.params import Params

_DELAY_MS_MAX = 60_000


class Admin:
    """`GET /_sandbox/health`, and with `--faults` `GET|POST /_sandbox/faults` and `POST /_sandbox/deposits`."""

    def __init__(
        self, exchange: Exchange, faults: Faults, connections: AbstractSet[Connection], capital: Capital
    ) -> None:
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
                "updates": {name: market.update_id for name, market in self._exchange.markets.items()},
            }
        )

    async def faults(self, request: web.Request) -> web.Response:
        """Arm a fault: `{"fault": name, "count": n}`, for `delay_ack` with `delay_ms`."""
        try:
            if request.method == "POST":
                self._arm(_object(await request.text()))
        except ApiError as exc:
            return web.json_response(exc.view(), status=exc.http_status)
        return web.json_response({"faults": self._faults.view(), "delay_ms": self._faults.delay_ms})

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
        fault, count, delay_ms = order.get("fault"), order.get("count", 1), order.get("delay_ms", self._faults.delay_ms)
        if fault in IMMEDIATE:
            self._strike_sockets(polite=fault == "kill_sockets")
            return
        if not isinstance(fault, str) or not isinstance(count, int):
            raise errors.invalid_parameter("fault")
        if not isinstance(delay_ms, int) or not 0 <= delay_ms <= _DELAY_MS_MAX:
            raise errors.invalid_parameter("delay_ms")
        self._faults.arm(fault, count)
        self._faults.delay_ms = delay_ms

    def _strike_sockets(self, *, polite: bool) -> None:
        for connection in list(self._connections):
            if polite:
                connection.close_soon(WSCloseCode.SERVICE_RESTART)
            else:
                connection.abort()


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ApiError(-1135, "Invalid JSON") from exc
    if not isinstance(value, dict):
        raise ApiError(-1135, "Expected a JSON object")
    return value
