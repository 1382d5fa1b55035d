"""When the account is trusted again."""

from __future__ import annotations

import asyncio
from typing import Any

from cex.account import OrderSnapshot
from cex.markets import Market
from tests.cex.lab import sandbox_lab


async def test_stream_that_comes_back_during_a_comparison_is_compared_at_once() -> None:
    """Not only at the next interval, here a minute later."""
    async with sandbox_lab(poll_ms=60_000) as lab:
        reconciler, account = lab.venue._reconciler, lab.venue._account
        ask, asked = account.open_orders, 0

        async def open_orders(market: Market, **named: Any) -> list[OrderSnapshot]:
            nonlocal asked
            asked += 1
            if asked == 1:
                reconciler.stream_down("a cut")
                reconciler.stream_up()
            return await ask(market, **named)

        account.open_orders = open_orders  # type: ignore[method-assign]
        reconciler.stream_down("a cut")
        reconciler.stream_up()
        async with asyncio.timeout(60):
            await reconciler.trusted.wait()
        assert asked == 2
