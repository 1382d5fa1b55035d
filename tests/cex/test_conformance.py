"""The exchange port's conformance suite on the sandbox, over both paths: native Binance and ccxt.pro alone."""

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
