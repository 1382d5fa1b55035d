"""The API's server for benches: the whole application over SQLite, and somebody who publishes.

    python -m bench.server FOLDER      -> {"port": …, "key": …, "secret": …, "portfolio": …}

The application is the real one, behind uvicorn as `capstan api serve` runs it; there is no engine, and what is
published is a P&L of 24 strategies (3 KB), all of it new each time; a number on standard input is how often a second.
`/naive` is what one writes first: a loop for each connection that waits, and sends the state as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvloop
from fastapi import WebSocket
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from api import create_app
from api.auth.bootstrap import bootstrap
from api.server.serving import Server
from api.services import Services
from bench import post_routes
from cli.api import prepare_to_serve
from cli.api_services import open_services
from cli.data_dir import DataDir
from runtime import configure_logging

_STRATEGIES: Final = 24
_SETTINGS: Final = """
[api]
password_memory_kib = 64
rate_limit = 6000000

[[venues]]
id = "nobody"
exchange = "binance"
instruments = ["ETHUSDC"]
"""


class Publisher:
    """Tells new results, at a rate that may be changed; both ways of sending read the same state."""

    def __init__(self, services: Services, portfolio: str) -> None:
        self._services, self._portfolio = services, portfolio
        self.rate, self.number = 1.0, 0
        self.state: dict[str, Any] = {}

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            self.number += 1
            self.state = {f"strategy:s{n:02}": self._value(n) for n in range(_STRATEGIES)}
            self._services.hub.replace("positions", self._portfolio, self.state)
            await asyncio.sleep(max(0.0, 1 / self.rate - (time.monotonic() - began)))

    def _value(self, n: int) -> dict[str, str]:
        money = f"{n * 1_000 + self.number / 100:.2f}"
        return {"strategy": f"s{n:02}", "result": money, "realised": money, "unrealised": money, "currency": "USDC"}


def main(folder: str) -> None:
    """Serve until standard input ends."""
    configure_logging(level="WARNING")
    data = DataDir(Path(folder))
    data.settings.write_text(_SETTINGS)
    services = open_services(data)
    owner = bootstrap(services.auth, slug="bench", name="Bench", email="bench@bench.example")
    publisher = Publisher(services, owner.portfolio)

    async def naive(socket: WebSocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                await socket.send_json({"ts": str(time.time_ns()), "seq": publisher.number, "d": publisher.state})
                await asyncio.sleep(1 / publisher.rate)

    app = create_app(services)
    app.include_router(post_routes.router)
    app.router.routes.append(WebSocketRoute("/naive", naive))
    prepare_to_serve()
    uvloop.run(_serve(app, publisher, {"key": owner.key, "secret": owner.key_secret, "portfolio": owner.portfolio}))


async def _serve(app: Any, publisher: Publisher, told: dict[str, str]) -> None:
    server = Server(app, "127.0.0.1", 0, grace_s=1)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    publishing = asyncio.create_task(publisher.run())
    sys.stdout.write(json.dumps(told | {"port": server.address[1]}) + "\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        publisher.rate = float(line)
    publishing.cancel()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    main(sys.argv[1])
