"""Keeps what we were told equal to what REST says: after every reconnect, at intervals, and where a trade is missing.

Every connection and every loss of one begins a new epoch. The account is trusted only while the comparison that
followed the newest epoch has succeeded; until then no order goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from cex.account import Account, TradeCursor
from cex.connection import Connection
from cex.markets import Market
from cex.orders import Orders
from cex.reports import Reports
from domain import OrderState, VenueUnavailable

log = structlog.get_logger(__name__)

MISSING_AFTER_S = 0.3
"""How long the stream may be behind an order's end before its trades are fetched."""
RETRY_S = (0.05, 2.0)


class Reconciler:
    """Runs beside the streams; one owner."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        orders: Orders,
        markets: Mapping[str, Market],
        reports: Reports,
    ) -> None:
        self._connection = connection
        self._account = account
        self._orders = orders
        self._markets = markets
        self._reports = reports
        self._epoch = 0
        self._is_up = False
        self._cursors: dict[str, TradeCursor] = {}
        self._wake = asyncio.Event()
        self._due = False
        self._missing: set[str] = set()
        self.trusted = asyncio.Event()
        self.on_silence: Callable[[int], None] = lambda _since_ns: None
        """Told that the stream, which is up, did not tell a trade; and since when it should have told something."""

    def stream_up(self) -> None:
        """The user stream is subscribed: what follows will be told; what preceded must be asked for."""
        if not self._is_up:
            self._is_up = True
            self._epoch += 1
            self._request()

    def stream_down(self, reason: str) -> None:
        """The user stream is gone."""
        if self._is_up:
            log.warning("account.untrusted", venue=self._connection.settings.id, reason=reason)
        self._is_up = False
        self._epoch += 1
        self.trusted.clear()

    def trades_missing(self, client_order_id: str) -> None:
        """An order is reported to have traded more than its trades say. They are usually a moment behind."""
        asyncio.get_running_loop().call_later(MISSING_AFTER_S, self._note_missing, client_order_id)

    async def baseline(self) -> None:
        """Set aside every trade the venue has now: they belong to the past, which `fills` tells."""
        for market in self._markets.values():
            self._cursors[market.id] = await self._account.latest(market)

    async def run(self) -> None:
        """Compare whenever there is reason to, until cancelled."""
        delay_s = RETRY_S[0]
        poll_s = self._connection.settings.poll_ms / 1000
        while True:
            try:
                async with asyncio.timeout(poll_s):
                    await self._wake.wait()
            except TimeoutError:
                self._due = True
            self._wake.clear()
            try:
                await self._work()
                delay_s = RETRY_S[0]
            except VenueUnavailable as exc:
                log.warning("reconcile.failed", venue=self._connection.settings.id, error=str(exc), retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S[1])
                self._wake.set()

    async def _work(self) -> None:
        epoch = self._epoch
        if self._due:
            was_trusted, began_ns = self.trusted.is_set(), self._connection.clock.monotonic_ns()
            recovered = await self._compare()
            if recovered and was_trusted and self._epoch == epoch:
                # It may only be late; a report that was lost costs a reconnect, which costs nothing.
                asyncio.get_running_loop().call_later(MISSING_AFTER_S, self._doubt, epoch, began_ns)
            # Lost or connected anew meanwhile: what happened in between is in no list that was read.
            if self._epoch == epoch:
                self._due = False
                if self._is_up:
                    self.trusted.set()
        while self._missing:
            client_order_id = next(iter(self._missing))
            known = self._reports.find(client_order_id)
            if known is not None:
                await self._orders.settle(self._markets[known.instrument], client_order_id)
                if known.held is not None:
                    self.trades_missing(client_order_id)
            self._missing.discard(client_order_id)

    async def _compare(self) -> int:
        """Trades first, then orders: an order's end never overtakes its trades. Return how many trades were news."""
        recovered = 0
        # An order accepted by now is in the lists that are fetched next, or has ended. One without any state is being
        # placed or asked about by somebody else.
        accepted = [(client_order_id, known) for client_order_id, known in self._reports.open() if known.state]
        resting: set[str] = set()
        for market in self._markets.values():
            now_ns = self._connection.clock.monotonic_ns()
            if (cursor := self._cursors.get(market.id)) is not None:
                for fill in await self._account.trades(market, cursor):
                    if self._reports.fill(market.id, fill, now_ns):
                        recovered += 1
                        log.info("fill.recovered", instrument=market.id, trade_id=fill.trade_id)
            for order in await self._account.open_orders(market):
                resting.add(order.client_order_id)
                self._reports.state(
                    order.client_order_id,
                    market.id,
                    OrderState.ACCEPTED,
                    order.executed_lots,
                    now_ns,
                    venue_order_id=order.venue_order_id,
                )
        for client_order_id, known in accepted:
            if client_order_id not in resting and not known.has_ended:
                await self._orders.settle(self._markets[known.instrument], client_order_id)
        return recovered

    def _doubt(self, epoch: int, since_ns: int) -> None:
        if self._epoch == epoch:
            self.on_silence(since_ns)

    def _request(self) -> None:
        self._due = True
        self._wake.set()

    def _note_missing(self, client_order_id: str) -> None:
        known = self._reports.find(client_order_id)
        if known is not None and not known.has_ended:
            self._missing.add(client_order_id)
            self._wake.set()
