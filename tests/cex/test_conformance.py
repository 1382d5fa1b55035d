"""The exchange port's conformance suite on the sandbox, over three paths: native, ccxt.pro, and plain REST."""

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
