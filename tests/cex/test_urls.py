"""Pointing ccxt at another server: no call may leave for the real exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cex import CcxtVenue, VenueSettings
from cex.urls import rewrite
from domain import PlatformError
from runtime import SystemClock

BASE = "http://127.0.0.1:8080"


def test_paths_are_kept_and_hosts_replaced() -> None:
    urls = {
        "public": "https://api.binance.com/api/v3",
        "nested": {"rest": ["https://{hostname}/v5"]},
        "ws": {"api": "wss://ws-api.binance.com:443/ws-api/v3"},
    }
    assert rewrite(urls, BASE) == {
        "public": f"{BASE}/api/v3",
        "nested": {"rest": [f"{BASE}/v5"]},
        "ws": {"api": "ws://127.0.0.1:8080/ws-api/v3"},
    }


def test_spot_stream_urls_keep_the_word_ccxt_looks_for() -> None:
    assert rewrite("wss://stream.binance.com:9443/ws", BASE) == "ws://127.0.0.1:8080/stream/ws"
    assert rewrite("wss://stream.binance.com:9443/stream", BASE) == "ws://127.0.0.1:8080/stream"


def test_tls_and_path_of_the_base_are_kept() -> None:
    assert rewrite("https://api.kraken.com/0", "https://lab.example/kraken/") == "https://lab.example/kraken/0"
    assert rewrite("wss://ws.kraken.com", "https://lab.example/kraken") == "wss://lab.example/kraken"


def test_other_values_are_left_alone() -> None:
    assert rewrite({"doc": None, "n": 3, "mail": "mailto:x@y"}, BASE) == {"doc": None, "n": 3, "mail": "mailto:x@y"}


@pytest.fixture
async def catch_all() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that writes down what is asked of it and answers nothing useful."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", paths
    await runner.cleanup()


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse and note every connection that is not to this machine."""
    refused: list[str] = []
    connect = aiohttp.TCPConnector.connect

    async def guarded(self: aiohttp.TCPConnector, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.url.host != "127.0.0.1":
            refused.append(str(request.url.host))
            raise OSError("this test does not leave the machine")
        return await connect(self, request, *args, **kwargs)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", guarded)
    return refused


@pytest.mark.parametrize(
    "exchange", ["binance", "okx", "kraken", "bybit", "coinbase", "bitfinex", "kucoin", "gate", "bitget", "htx"]
)
async def test_every_call_reaches_the_given_server(
    exchange: str, catch_all: tuple[str, list[str]], no_way_out: list[str]
) -> None:
    base_url, paths = catch_all
    settings = VenueSettings(
        id="lab", exchange=exchange, base_url=base_url, instruments=("BTC/USDT",), request_timeout_ms=2_000
    )
    venue = CcxtVenue(settings, clock=SystemClock())
    async with asyncio.timeout(60):
        with pytest.raises(PlatformError):
            await venue.start(lambda _event: None)
    assert paths, "the local server was never asked"
    assert no_way_out == []
