"""Requests about orders, encoded and signed: a form per instrument and kind of order, made once and filled in.

Names of parameters are sorted, as the WebSocket API signs them; REST takes any order, so that one form serves both
doors. What is filled in is of [A-Za-z0-9-_.] and needs no escapes; symbols may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from cex.binance.signing import Signer
from domain import OrderType, Side, TimeInForce

_SLOT: Final = "%s"
_NUMBER: Final = "%d"
"""A slot whose value is a number in a message."""
Values = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of request. Its values come sorted by their parameters' names."""

    method: str
    """The WebSocket API's name of it."""
    verb: str
    path: str
    _signer: Signer = field(repr=False)
    _signed_message: str = field(repr=False)
    _message: str = field(repr=False)
    _session_message: str = field(repr=False)
    _query: str = field(repr=False)

    @classmethod
    def make(cls, signer: Signer, method: str, verb: str, path: str, params: Mapping[str, str | int]) -> Form:
        """Prepare a request; a value of `%s` is to be filled in."""
        named = {**params, "apiKey": signer.api_key}
        head = f'{{"id":"%s","method":"{method}","params":{{'
        return cls(
            method,
            verb,
            path,
            signer,
            "&".join(f"{name}={_plain(named[name])}" for name in sorted(named)),
            f'{head}{_members(named)},"signature":"%s"}}}}',
            f"{head}{_members(params)}}}}}",
            "&".join(f"{name}={_quoted(params[name])}" for name in sorted(params)),
        )

    def message(self, request_id: str, values: Values) -> str:
        """Write the WebSocket API's message."""
        return self._message % (request_id, *values, self._signer.sign(self._signed_message % values))

    def session_message(self, request_id: str, values: Values) -> str:
        """Write the message for a connection that has logged on: without key and signature."""
        return self._session_message % (request_id, *values)

    def query(self, values: Values) -> str:
        """Write REST's query string."""
        payload = self._query % values
        signature = self._signer.sign(payload)
        return f"{payload}&signature={signature if self._signer.is_hmac else quote(signature, safe='')}"


class Forms:
    """The forms of one account, made on first use."""

    def __init__(self, signer: Signer, recv_window_ms: int) -> None:
        self._signer = signer
        self._always: dict[str, str | int] = {"recvWindow": recv_window_ms, "timestamp": _NUMBER}
        self._made: dict[tuple[str, ...], Form] = {}

    def place(self, symbol: str, side: Side, kind: OrderType, tif: TimeInForce) -> Form:
        """Values: client order id, price (not of market orders), size, time in ms."""
        key = ("place", symbol, side.value, kind.value, tif.value)
        return self._made.get(key) or self._make(key, "order.place", "POST", "order", _order(symbol, side, kind, tif))

    def replace(self, symbol: str, side: Side, kind: OrderType, tif: TimeInForce) -> Form:
        """Values: client order id to cancel, client order id, price, size, time in ms. Stops where nothing is left."""
        key = ("replace", symbol, side.value, kind.value, tif.value)
        more: dict[str, str | int] = {"cancelOrigClientOrderId": _SLOT, "cancelReplaceMode": "STOP_ON_FAILURE"}
        return self._made.get(key) or self._make(
            key, "order.cancelReplace", "POST", "order/cancelReplace", _order(symbol, side, kind, tif) | more
        )

    def cancel(self, symbol: str) -> Form:
        """Values: client order id, time in ms."""
        key = ("cancel", symbol)
        return self._made.get(key) or self._make(
            key, "order.cancel", "DELETE", "order", {"symbol": symbol, "origClientOrderId": _SLOT}
        )

    def _make(self, key: tuple[str, ...], method: str, verb: str, path: str, params: dict[str, str | int]) -> Form:
        form = self._made[key] = Form.make(self._signer, method, verb, path, params | self._always)
        return form


def _order(symbol: str, side: Side, kind: OrderType, tif: TimeInForce) -> dict[str, str | int]:
    params: dict[str, str | int] = {
        "newClientOrderId": _SLOT,
        # Status and executed size; the trades come by the user stream.
        "newOrderRespType": "RESULT",
        "quantity": _SLOT,
        "side": side.value.upper(),
        "symbol": symbol,
        "type": kind.value.upper(),
    }
    if kind is not OrderType.MARKET:
        params["price"] = _SLOT
    if kind is OrderType.LIMIT:
        params["timeInForce"] = tif.value.upper()
    return params


def _plain(value: str | int) -> str:
    return "%s" if value in (_SLOT, _NUMBER) else str(value).replace("%", "%%")


def _quoted(value: str | int) -> str:
    return "%s" if value in (_SLOT, _NUMBER) else quote(str(value), safe="").replace("%", "%%")


def _members(params: Mapping[str, str | int]) -> str:
    return ",".join(f'"{name}":{_json(params[name])}' for name in sorted(params))


def _json(value: str | int) -> str:
    if value == _NUMBER:
        return "%s"
    if value == _SLOT:
        return '"%s"'
    return json.dumps(value, ensure_ascii=False).replace("%", "%%")
