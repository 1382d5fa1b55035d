"""Funding and open interest of followed contracts, asked at intervals: few venues stream both, REST has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import structlog

from cex.connection import Connection
from cex.errors import reading
from cex.feeds.data import Datum, Funding
from cex.feeds.history import open_interest_of
from cex.markets import Market
from cex.numbers import to_decimal
from domain import PlatformError

log = structlog.get_logger(__name__)

EVERY_S = 30.0


class ContractPoll:
    """Tells the next funding and the open interest of one contract, every `EVERY_S`."""

    def __init__(self, connection: Connection, market: Market, emit: Callable[[Datum], None]) -> None:
        self._connection = connection
        self._market = market
        self._emit = emit

    async def run(self) -> None:
        """Ask until cancelled; what cannot be had now is asked again the next time."""
        while True:
            await self.ask()
            await asyncio.sleep(EVERY_S)

    async def ask(self) -> None:
        """Ask once."""
        connection, name = self._connection, self._market.unified
        exchange, clock = connection.exchange, connection.clock
        try:
            if exchange.has.get("fetchFundingRate"):
                what = f"funding of {self._market.id}"
                row = await connection.query(what, lambda: exchange.fetch_funding_rate(name))
                with reading(what):
                    self._emit(funding_of(self._market.id, row, clock.now_ns()))
            if exchange.has.get("fetchOpenInterest"):
                what = f"open interest of {self._market.id}"
                row = await connection.query(what, lambda: exchange.fetch_open_interest(name))
                with reading(what):
                    self._emit(open_interest_of(self._market.id, row, clock.now_ns()))
        except PlatformError as exc:
            log.warning("contract.not_told", instrument=self._market.id, error=str(exc))


def funding_of(instrument: str, row: Mapping[str, Any], received_ns: int) -> Funding:
    """Read ccxt's view of a contract's funding as it is expected now."""

    def price(key: str) -> Decimal | None:
        return None if row.get(key) is None else to_decimal(row[key])

    return Funding(
        instrument=instrument,
        venue_ns=int(row.get("timestamp") or 0) * 1_000_000,
        received_ns=received_ns,
        rate=to_decimal(row["fundingRate"]),
        due_ns=int(row.get("fundingTimestamp") or row.get("nextFundingTimestamp") or 0) * 1_000_000,
        is_next=True,
        mark=price("markPrice"),
        index=price("indexPrice"),
    )
