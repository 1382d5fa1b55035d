"""Our own trades and orders on any venue through ccxt.pro, for those without a native path.

ccxt.pro forgets what happened between two connections and folds several updates of an order into one. So trades come
from its trade stream only, never from its orders, and what it may have missed is found in REST: whenever a socket was
lost, and at regular intervals (the owner's). A venue without these streams lives on the intervals alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from cex.account import Account
from cex.connection import Connection
from cex.errors import await_foreign, describe
from cex.markets import Market
from cex.reports import Reports

log = structlog.get_logger(__name__)

BACKOFF_S = (0.1, 5.0)
DELIVERY_S = 0.5
"""A watch that has not failed for this long is taken as subscribed."""


class CcxtUserStream:
    """Reads one account's streams for as long as it runs."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        markets: Mapping[str, Market],
        reports: Reports,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._account = account
        self._by_unified = {market.unified: market for market in markets.values()}
        self._reports = reports
        self._on_up = on_up
        self._on_down = on_down

    async def run(self) -> None:
        """Stay subscribed until cancelled."""
        exchange = self._connection.exchange
        async with asyncio.TaskGroup() as tasks:
            if exchange.has.get("watchMyTrades"):
                tasks.create_task(self._watch(exchange.watch_my_trades, self._take_trade), name="cex.my_trades")
            if exchange.has.get("watchOrders"):
                tasks.create_task(self._watch(exchange.watch_orders, self._take_order), name="cex.my_orders")
            if not exchange.has.get("watchMyTrades") and not exchange.has.get("watchOrders"):
                self._on_up()

    async def _watch(
        self,
        watch: Callable[[], Awaitable[list[Mapping[str, Any]]]],
        take: Callable[[Market, Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        delay_s, loop = BACKOFF_S[0], asyncio.get_running_loop()
        while True:
            # Subscribing and the first delivery are one call in ccxt; there is no word when it is subscribed.
            settled = loop.call_later(DELIVERY_S, self._on_up)
            try:
                for row in await await_foreign(watch()):
                    market = self._by_unified.get(str(row.get("symbol")))
                    if market is not None:
                        await take(market, row)
                delay_s = BACKOFF_S[0]
            except Exception as exc:  # ccxt raises what its parsers stumble over, too.
                settled.cancel()
                log.warning("user_stream.lost", venue=self._connection.settings.id, error=" ".join(describe(exc)))
                self._on_down("disconnected")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_S[1])
            finally:
                settled.cancel()

    async def _take_trade(self, market: Market, row: Mapping[str, Any]) -> None:
        client_order_id = await self._account.client_order_id(market, str(row["order"]))
        fill = self._account.fill(market, row, client_order_id)
        self._reports.fill(market.id, fill, self._connection.clock.monotonic_ns())

    async def _take_order(self, market: Market, row: Mapping[str, Any]) -> None:
        order = self._account.snapshot(market, row)
        client_order_id = order.client_order_id or await self._account.client_order_id(market, order.venue_order_id)
        self._reports.learn_name(market.id, order.venue_order_id, client_order_id)
        self._reports.state(
            client_order_id,
            market.id,
            order.state,
            order.executed_lots,
            self._connection.clock.monotonic_ns(),
            venue_order_id=order.venue_order_id,
        )
