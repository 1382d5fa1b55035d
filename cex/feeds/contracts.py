"""Funding and open interest of followed contracts, asked at intervals: few venues stream both, REST has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import structlog

from cex.connection import Connection
from cex.errors import reading
from cex.feeds.data import Datum, Funding, OpenInterest
from cex.feeds.history import open_interest_of
from cex.markets import Market
from cex.numbers import to_decimal
from domain import PlatformError, VenueUnavailable

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
        """Ask once, for what the venue tells."""
        for is_told, fetch in ((tells_funding, fetch_funding), (tells_open_interest, fetch_open_interest)):
            if not is_told(self._connection):
                continue
            try:
                self._emit(await fetch(self._connection, self._market))
            except PlatformError as exc:
                log.warning("contract.not_told", instrument=self._market.id, error=str(exc))


def tells_funding(connection: Connection) -> bool:
    has = connection.exchange.has
    return bool(has.get("fetchFundingRate") or has.get("fetchFundingRates"))


def tells_open_interest(connection: Connection) -> bool:
    return bool(connection.exchange.has.get("fetchOpenInterest"))


async def fetch_funding(connection: Connection, market: Market) -> Funding:
    """Ask for the rate that is paid next.

    Raises:
        VenueUnavailable: No answer, or a venue that does not tell it by instrument.
    """
    exchange, name, what = connection.exchange, market.unified, f"funding of {market.id}"
    if exchange.has.get("fetchFundingRate"):
        row = await connection.query(what, lambda: exchange.fetch_funding_rate(name))
    elif tells_funding(connection):
        row = (await connection.query(what, lambda: exchange.fetch_funding_rates([name]))).get(name) or {}
    else:
        raise VenueUnavailable(f"{market.id}: the venue does not tell its funding")
    if row.get("fundingRate") is None:
        raise VenueUnavailable(f"{market.id}: the venue told no funding rate")
    with reading(what):
        return funding_of(market.id, row, connection.clock.now_ns())


async def fetch_open_interest(connection: Connection, market: Market) -> OpenInterest:
    """Ask for what is open now; raises as `fetch_funding`."""
    exchange, what = connection.exchange, f"open interest of {market.id}"
    row = await connection.query(what, lambda: exchange.fetch_open_interest(market.unified))
    with reading(what):
        return open_interest_of(market.id, row, connection.clock.now_ns())


def funding_of(instrument: str, row: Mapping[str, Any], received_ns: int) -> Funding:
    """Read ccxt's view of a contract's funding as it is expected now."""

    def price(key: str) -> Decimal | None:
        return None if row.get(key) is None else to_decimal(row[key])

    return Funding(
        instrument=instrument,
        venue_ns=int(row.get("timestamp") or 0) * 1_000_000,
        received_ns=received_ns,
        rate=to_decimal(row["fundingRate"]),
        # ccxt's `next` ones are of the rate after this, where a venue tells that, too (OKX).
        due_ns=int(row.get("fundingTimestamp") or row.get("nextFundingTimestamp") or 0) * 1_000_000,
        is_next=True,
        mark=price("markPrice"),
        index=price("indexPrice"),
    )
