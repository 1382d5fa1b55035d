"""What a venue still tells of the past, page by page: candles, public trades, funding, open interest.

Each page begins where the last one ended, inclusive, and what was told already is dropped by its id; a page that brings
nothing new ends the history. Needs no keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from cex.connection import Connection
from cex.errors import reading
from cex.feeds.data import Candle, Funding, OpenInterest
from cex.numbers import to_decimal
from cex.settings import VenueSettings
from domain import InputError, VenueUnavailable
from runtime import Clock

KINDS: Final = ("candles", "trades", "funding", "open-interest")
_MS: Final = 1_000_000
_PAGES_MAX: Final = 100_000

Row = Any
Call = Callable[[int], Awaitable[Sequence[Row]]]


class Trade(NamedTuple):
    """A past trade, exact as the venue wrote it, also off today's grid."""

    venue_ns: int
    trade_id: str
    price: Decimal
    qty: Decimal
    is_buyer_maker: bool


class History:
    """One venue's past. `async with History(settings, clock) as history`."""

    def __init__(self, settings: VenueSettings, clock: Clock) -> None:
        keyless = {"api_key": None, "secret": None, "passphrase": None, "feed": "ccxt"}
        self._connection = Connection(settings.model_copy(update=keyless), clock, None)
        self._clock = clock

    async def __aenter__(self) -> History:
        try:
            await self._connection.open()
        except BaseException:
            await self._connection.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def candles(self, symbol: str, timeframe: str, since_ms: int, until_ms: int) -> AsyncIterator[Candle]:
        """Give closed candles that open in [since, until)."""
        exchange = self._require("fetchOHLCV", "candles")
        name = self._symbol(symbol)
        if timeframe not in (exchange.timeframes or {}):
            raise InputError(
                f"{exchange.id} has no candles of {timeframe!r}", hint=f"it has {', '.join(exchange.timeframes or ())}"
            )
        period_ms = int(exchange.parse_timeframe(timeframe) * 1000)
        closed_ms = self._clock.now_ns() // _MS - period_ms
        call: Call = lambda since: exchange.fetch_ohlcv(name, timeframe, since)  # noqa: E731
        async for row in self._rows("candles", call, since_ms, min(until_ms, closed_ms + 1), _first, _first):
            with reading(f"candles of {name}"):
                prices = [to_decimal(value) for value in row[1:6]]
            yield Candle(
                instrument=self._id(symbol),
                venue_ns=int(row[0]) * _MS,
                received_ns=self._clock.now_ns(),
                period_ns=period_ms * _MS,
                open=prices[0],
                high=prices[1],
                low=prices[2],
                close=prices[3],
                volume=prices[4],
            )

    async def trades(self, symbol: str, since_ms: int, until_ms: int) -> AsyncIterator[Trade]:
        """Give public trades of [since, until); aggregated where the venue tells them so (Binance)."""
        exchange = self._require("fetchTrades", "trades")
        name = self._symbol(symbol)
        call: Call = lambda since: exchange.fetch_trades(name, since, 1_000)  # noqa: E731
        async for row in self._rows("trades", call, since_ms, until_ms, _timestamp, _trade_id):
            with reading(f"trades of {name}"):
                trade = Trade(
                    venue_ns=int(row["timestamp"]) * _MS,
                    trade_id=str(row.get("id") or ""),
                    price=to_decimal(row["price"]),
                    qty=to_decimal(row["amount"]),
                    is_buyer_maker=row["side"] == "sell",
                )
            yield trade

    async def funding(self, symbol: str, since_ms: int, until_ms: int) -> AsyncIterator[Funding]:
        """Give funding rates that were paid in [since, until)."""
        exchange = self._require("fetchFundingRateHistory", "history of funding")
        name = self._symbol(symbol)
        call: Call = lambda since: exchange.fetch_funding_rate_history(name, since)  # noqa: E731
        async for row in self._rows("funding", call, since_ms, until_ms, _timestamp, _timestamp):
            paid_ns = int(row["timestamp"]) * _MS
            with reading(f"funding of {name}"):
                rate = to_decimal(row["fundingRate"])
            now_ns = self._clock.now_ns()
            yield Funding(instrument=self._id(symbol), venue_ns=paid_ns, received_ns=now_ns, rate=rate, due_ns=paid_ns)

    async def open_interest(
        self, symbol: str, timeframe: str, since_ms: int, until_ms: int
    ) -> AsyncIterator[OpenInterest]:
        """Give open interest at the ends of periods in [since, until)."""
        exchange = self._require("fetchOpenInterestHistory", "history of open interest")
        name = self._symbol(symbol)
        call: Call = lambda since: exchange.fetch_open_interest_history(name, timeframe, since)  # noqa: E731
        async for row in self._rows("open interest", call, since_ms, until_ms, _timestamp, _timestamp):
            with reading(f"open interest of {name}"):
                told = open_interest_of(self._id(symbol), row, self._clock.now_ns())
            yield told

    # --- parts

    async def _rows(
        self,
        what: str,
        call: Call,
        since_ms: int,
        until_ms: int,
        time_of: Callable[[Row], int],
        id_of: Callable[[Row], object],
    ) -> AsyncIterator[Row]:
        cursor, told = since_ms, set[object]()
        for _ in range(_PAGES_MAX):
            if cursor >= until_ms:
                return
            page = await self._connection.query(what, lambda since=cursor: call(since), starting=True)  # type: ignore[misc]
            with reading(what):
                rows = sorted(page, key=time_of)
                fresh = [row for row in rows if time_of(row) >= cursor and id_of(row) not in told]
            for row in fresh:
                if time_of(row) < until_ms:
                    yield row
            if not fresh:
                return
            last = time_of(fresh[-1])
            if last == cursor and time_of(rows[0]) == cursor and len(rows) > 1 and cursor != since_ms:
                raise VenueUnavailable(
                    f"{what}: more than a page at {cursor} ms: the venue cannot be asked for the rest"
                )
            told = {id_of(row) for row in rows if time_of(row) == last}
            cursor = last
        raise VenueUnavailable(f"{what}: more than {_PAGES_MAX} pages")

    def _require(self, ability: str, what: str) -> Any:
        exchange = self._connection.exchange
        if not exchange.has.get(ability):
            raise InputError(f"{exchange.id} tells no {what} (ccxt has no {ability} for it)")
        return exchange

    def _symbol(self, symbol: str) -> str:
        """Find ccxt's name of a market by that or by the venue's."""
        markets: Mapping[str, Mapping[str, Any]] = self._connection.exchange.markets
        if symbol in markets:
            return symbol
        found = [str(market["symbol"]) for market in markets.values() if market["id"] == symbol]
        if not found:
            raise InputError(
                f"{self._connection.settings.exchange} lists no market {symbol}",
                hint=f"it lists {len(markets)} others, such as {', '.join(sorted(markets)[:5])}",
            )
        return found[0]

    def _id(self, symbol: str) -> str:
        return f"{self._connection.settings.id}:{symbol}"


def open_interest_of(instrument: str, row: Mapping[str, Any], received_ns: int) -> OpenInterest:
    """Read ccxt's view of open interest."""
    amount, value = row.get("openInterestAmount"), row.get("openInterestValue")
    return OpenInterest(
        instrument=instrument,
        venue_ns=int(row.get("timestamp") or 0) * _MS,
        received_ns=received_ns,
        amount=None if amount is None else to_decimal(amount),
        value=None if value is None else to_decimal(value),
    )


def _first(row: Row) -> int:
    return int(row[0])


def _timestamp(row: Row) -> int:
    return int(row["timestamp"])


def _trade_id(row: Row) -> object:
    return row.get("id") or (row["timestamp"], str(row["price"]), str(row["amount"]), row["side"])
