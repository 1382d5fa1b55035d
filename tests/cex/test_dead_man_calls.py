"""What ccxt makes of our countdown at the venues whose profile has one: the unit is the venue's, the time is ours."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from cex.connection import exchange_class
from cex.urls import rewrite
from domain import InvariantError

SECONDS = 30


@pytest.mark.parametrize(
    ("name", "field", "answer"),
    [
        ("okx", "timeOut", {"code": "0", "data": [{"triggerTime": "1", "ts": "1"}]}),
        ("kraken", "timeout", {"error": [], "result": {"currentTime": "x", "triggerTime": "y"}}),
    ],
)
async def test_countdown_arrives_in_seconds(name: str, field: str, answer: object) -> None:
    bodies: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        bodies.put_nowait(await request.text())
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    exchange = exchange_class(name)(
        {"apiKey": "k", "secret": "c2VjcmV0", "password": "p", "enableRateLimit": False, "number": str}
    )
    try:
        exchange.urls["api"] = rewrite(exchange.urls["api"], f"http://127.0.0.1:{runner.addresses[0][1]}")
        # Markets are loaded first, and do not matter here.
        exchange.markets = exchange.markets_by_id = {"X/Y": {}}
        for seconds in (SECONDS, 0):
            await exchange.cancel_all_orders_after(seconds * 1000)
            assert int(value_of(await bodies.get(), field)) == seconds
    finally:
        await exchange.close()
        await runner.cleanup()


def value_of(body: str, field: str) -> str:
    if body.startswith("{"):
        return str(json.loads(body)[field])
    found = parse_qs(body).get(field)
    if found is None:
        raise InvariantError(f"no {field} in {body!r}")
    return found[0]
