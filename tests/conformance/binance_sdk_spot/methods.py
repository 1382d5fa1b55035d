"""Calls every typed method of binance-sdk-spot that has no side effects, over both doors, and every stream.

Prints one line of JSON: by door and method `ok`, or what went wrong. Each answer has passed the venue's own schema.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_common.websocket import WebSocketAPIBase, WebSocketStreamBase
from binance_sdk_spot.spot import Spot

WHERE = json.loads(sys.argv[1])
KEYS = {"api_key": WHERE["api_key"], "api_secret": WHERE["secret"]}
SYMBOL = "ETHUSDC"
LIMIT_BUY = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.1, "price": 2900.0}
VALUES = {"symbol": SYMBOL, "interval": "1m", "window_size": "1h", "levels": "5", "from_id": 1}
# Changes of the session, and orders: those are in session.py.
PREFIXES = ("_", "send_", "session_", "sor_", "user_data", "delete_", "new_order", "on_", "off_")
WORDS = ("cancel", "place", "keep_priority", "oco", "oto", "opo", "ping_server", "order_test", "_list")


def is_query(name):
    return not name.startswith(PREFIXES) and not any(word in name for word in WORDS)


def arguments(method, order_id):
    """What a method cannot do without, a symbol and an order."""
    values = VALUES | {"order_id": order_id}
    return {
        name: values[name]
        for name, parameter in inspect.signature(method).parameters.items()
        if name in values and (parameter.default is inspect.Parameter.empty or name in ("symbol", "order_id"))
    }


async def main():
    logging.disable(logging.CRITICAL)
    client = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=WHERE["http"], timeout=30_000, **KEYS),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=f"{WHERE['ws']}/ws-api/v3", timeout=30_000, **KEYS),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=WHERE["ws"]),
    )
    order = client.rest_api.new_order(**LIMIT_BUY).data()
    client.rest_api.order_amend_keep_priority(symbol=SYMBOL, order_id=order.order_id, new_qty=0.05)
    client.rest_api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.1)
    return {
        "rest": by_rest(client, order.order_id),
        "websocket": await by_websocket(client, order.order_id),
        "streams": await by_stream(client),
    }


def by_rest(client, order_id):
    told = {}
    for name, method in inspect.getmembers(client.rest_api, inspect.ismethod):
        if is_query(name):
            try:
                method(**arguments(method, order_id)).data()
                told[name] = "ok"
            except Exception as exc:
                told[name] = exc.status_code if isinstance(exc, BadRequestError) else repr(exc)[:300]
    return told


async def by_websocket(client, order_id):
    told = {}
    api = await client.websocket_api.create_connection()
    for name, method in inspect.getmembers(api, inspect.iscoroutinefunction):
        if is_query(name) and not hasattr(WebSocketAPIBase, name):
            try:
                answer = (await method(**arguments(method, order_id))).data()
                error = answer.get("error") if isinstance(answer, dict) else None
                told[name] = error["code"] if error else "ok"
            except Exception as exc:
                told[name] = repr(exc)[:300]
    await api.close_connection(close_session=True)
    return told


async def by_stream(client):
    """Wait until every stream but the silent ones has spoken, or one has sent what does not fit its schema."""
    silent, told, changed = {"block_trade", "reference_price"}, {}, asyncio.Event()
    connection = await client.websocket_streams.create_connection()

    def note(name, what):
        told.setdefault(name, what)
        changed.set()

    names = []
    for name, method in inspect.getmembers(connection, inspect.iscoroutinefunction):
        if is_query(name) and not hasattr(WebSocketStreamBase, name) and name not in silent:
            values = arguments(method, 0)
            stream = await method(**{key: value.lower() if key == "symbol" else value for key, value in values.items()})
            stream.on("message", lambda _, name=name: note(name, "ok"))
            names.append(name)
    connection.on_connection("error", lambda error: note(f"error {error!r}"[:300], "error"))
    while not set(names) <= told.keys() and "error" not in told.values():
        await changed.wait()
        changed.clear()
    await connection.close_connection(close_session=True)
    return told


print(json.dumps(asyncio.run(main())))
