"""The exchange port's conformance suite on the sandbox, over every way of placing.

Native by WebSocket and by REST, signed with HMAC and with Ed25519; ccxt by WebSocket and by REST.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ExchangeConformance


class TestNativePath(ExchangeConformance):
    @pytest.fixture
    async def lab(self) -> AsyncIterator[SandboxLab]:
        async with sandbox_lab() as lab:
            yield lab


class TestNativeRestPath(ExchangeConformance):
    @pytest.fixture
    async def lab(self) -> AsyncIterator[SandboxLab]:
        async with sandbox_lab(orders="rest") as lab:
            yield lab


class TestCcxtPath(ExchangeConformance):
    @pytest.fixture
    async def lab(self) -> AsyncIterator[SandboxLab]:
        async with sandbox_lab(feed="ccxt") as lab:
            yield lab


class TestRestPath(ExchangeConformance):
    """ccxt's binance.us client: orders by REST, trades read by time instead of by number."""

    @pytest.fixture
    async def lab(self) -> AsyncIterator[SandboxLab]:
        async with sandbox_lab(exchange="binanceus", poll_ms=300) as lab:
            yield lab
