"""A sandbox exchange on a free port, and plain clients of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cex.sandbox import TEST_ACCOUNT, AccountSpec, SandboxConfig, serve

ALICE = TEST_ACCOUNT
BOB = AccountSpec("bob", "bob-key", "bob-secret", None, {"ETH": "100", "USDC": "1000000", "BTC": "5"})


@dataclass(frozen=True)
class Sandbox:
    """A running exchange."""

    port: int
    config: SandboxConfig
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def call(
        self, method: str, path: str, account: AccountSpec | None = None, private_key: str | None = None, **params: Any
    ) -> tuple[int, Any]:
        """Send one request, signed if an account is given; return status and decoded body."""
        headers = {}
        query = urlencode(params)
        if account is not None:
            headers["X-MBX-APIKEY"] = account.api_key
            query = signed(params, account) if private_key is None else signed_with(private_key, params)
        async with self.http.request(method, f"{self.url}{path}?{query}", headers=headers) as response:
            return response.status, await response.json()

    async def order(self, account: AccountSpec, **params: Any) -> Any:
        """Place an order that must be accepted."""
        params = {"symbol": "ETHUSDC", "type": "LIMIT"} | params
        if params["type"] == "LIMIT":
            params = {"timeInForce": "GTC"} | params
        status, body = await self.call("POST", "/api/v3/order", account, **params)
        assert status == 200, body
        return body

    async def fault(self, fault: str, **options: Any) -> None:
        async with self.http.post(f"{self.url}/_sandbox/faults", json={"fault": fault, **options}) as response:
            assert response.status == 200, await response.text()

    async def armed(self) -> Any:
        async with self.http.get(f"{self.url}/_sandbox/faults") as response:
            return await response.json()


def signed(params: dict[str, Any], account: AccountSpec, **more: Any) -> str:
    query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000} | more)
    assert account.secret is not None
    return f"{query}&signature={hmac.new(account.secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"


def signed_with(private_key: str, params: dict[str, Any]) -> str:
    """Sign with an Ed25519 or RSA key (PEM)."""
    query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000})
    key = load_pem_private_key(private_key.encode(), None)
    if isinstance(key, RSAPrivateKey):
        signature = key.sign(query.encode(), PKCS1v15(), SHA256())
    else:
        assert isinstance(key, Ed25519PrivateKey)
        signature = key.sign(query.encode())
    return f"{query}&{urlencode({'signature': base64.b64encode(signature).decode()})}"


Start = Callable[[SandboxConfig], Awaitable[Sandbox]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start sandboxes; all are stopped at the end, and whatever broke one is raised."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(config: SandboxConfig) -> Sandbox:
            stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
            task = asyncio.create_task(serve(config, stop=stop, ready=ready.set_result))

            async def end() -> None:
                stop.set()
                async with asyncio.timeout(60):
                    await task

            stack.push_async_callback(end)
            await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            http = await stack.enter_async_context(aiohttp.ClientSession())
            return Sandbox(ready.result(), config, http)

        yield start


@pytest.fixture
async def busy(start: Start) -> Sandbox:
    """A sandbox with order flow."""
    return await start(SandboxConfig(accounts=(ALICE, BOB), faults=True, seed=7))


@pytest.fixture
async def quiet(start: Start) -> Sandbox:
    """A sandbox with empty books."""
    return await start(SandboxConfig(accounts=(ALICE, BOB), faults=True, flow=None))
