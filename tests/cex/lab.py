"""A sandbox exchange on loopback, the venue under test on one of its accounts, and a plain client on the other.

The plain client signs and sends by itself, so that what the tests compare with does not pass through the code they
test. The order flow is off: nobody trades but the tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from cex import CcxtVenue, VenueSettings
from cex.sandbox import AccountSpec, SandboxConfig, serve
from domain import Instrument, Side, parse_units
from runtime import SystemClock
from tests.support.recorder import Recorder

OURS = AccountSpec("ours", "our-test-key", "our-test-secret", None, {"ETH": "1000", "USDC": "5000000", "BTC": "3"})
THEIRS = AccountSpec("theirs", "their-test-key", "their-test-secret", None, {"ETH": "1000", "USDC": "5000000"})


@dataclass
class PlainClient:
    """Signs and sends, nothing else."""

    base_url: str
    spec: AccountSpec
    session: aiohttp.ClientSession
    ahead_ms: int = 0
    """How far the exchange's clock is ahead, which it is told."""

    async def call(self, method: str, path: str, **params: Any) -> Any:
        assert self.spec.secret is not None
        query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000 + self.ahead_ms, "recvWindow": 10_000})
        signature = hmac.new(self.spec.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.base_url}/api/v3/{path}?{query}&signature={signature}"
        async with self.session.request(method, url, headers={"X-MBX-APIKEY": self.spec.api_key}) as response:
            body = await response.json()
            assert response.status == 200, body
            return body


class SandboxLab:
    """See the module. `open` and `close` by `sandbox_lab`."""

    venue: CcxtVenue
    instrument: Instrument

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.recorder = Recorder()
        self.ours = PlainClient(base_url, OURS, session)
        self.theirs = PlainClient(base_url, THEIRS, session)
        self._session = session

    def settings(self, **changes: Any) -> VenueSettings:
        return VenueSettings.model_validate(
            {
                "id": "sandbox",
                "exchange": "binance",
                "base_url": self.base_url,
                "instruments": ("ETHUSDC",),
                "api_key": f"literal-test:{OURS.api_key}",
                "secret": f"literal-test:{OURS.secret}",
                "recv_window_ms": 1_000,
                "request_timeout_ms": 2_000,
            }
            | changes
        )

    async def open(self, **changes: Any) -> Self:
        self.venue = CcxtVenue(self.settings(**changes), clock=SystemClock())
        await self.venue.start(self.recorder)
        self.instrument = next(iter(self.venue.instruments.values()))
        return self

    async def counter(self, side: Side, price_ticks: int, qty_lots: int, tif: str = "GTC") -> None:
        await self.theirs.call(
            "POST",
            "order",
            symbol="ETHUSDC",
            side=side.value.upper(),
            type="LIMIT",
            timeInForce=tif,
            price=f"{price_ticks // 100}.{price_ticks % 100:02}",
            quantity=f"{qty_lots // 10_000}.{qty_lots % 10_000:04}",
        )

    async def strike(self, fault: str, count: int = 1, delay_ms: int | None = None) -> None:
        await self.fault(fault=fault, count=count, **({"delay_ms": delay_ms} if delay_ms is not None else {}))

    async def fault(self, **order: Any) -> None:
        """Order a fault in the sandbox's own words."""
        async with self._session.post(f"{self.base_url}/_sandbox/faults", json=order) as response:
            assert response.status == 200, await response.text()

    async def armed(self, fault: str) -> int:
        """How often a fault still strikes."""
        async with self._session.get(f"{self.base_url}/_sandbox/faults") as response:
            return int((await response.json())["faults"][fault])

    async def round_trip(self) -> None:
        """Give the exchange and the venue's tasks a turn."""
        await self.health()

    async def health(self) -> Any:
        async with self._session.get(f"{self.base_url}/_sandbox/health") as response:
            return await response.json()

    async def free_base_and_quote(self) -> tuple[int, int]:
        account = await self.ours.call("GET", "account")
        held = {
            row["asset"]: parse_units(row["free"], 8) + parse_units(row["locked"], 8) for row in account["balances"]
        }
        return held["ETH"], held["USDC"]


def quiet_config(**changes: Any) -> SandboxConfig:
    """Two accounts, faults on call, and nobody trading by itself."""
    return SandboxConfig(**({"port": 0, "accounts": (OURS, THEIRS), "flow": None, "faults": True} | changes))


@asynccontextmanager
async def sandbox(**changes: Any) -> AsyncIterator[str]:
    """Serve a quiet sandbox with faults on a free port; give its base URL."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(quiet_config(**changes), stop=stop, ready=port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def sandbox_lab(**changes: Any) -> AsyncIterator[SandboxLab]:
    """Give a lab whose venue has started; `changes` go to its settings."""
    async with sandbox() as base_url, aiohttp.ClientSession() as session:
        lab = SandboxLab(base_url, session)
        try:
            yield await lab.open(**changes)
        finally:
            await lab.venue.stop()
