"""A book as REST tells it through ccxt, in ticks and lots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cex.connection import Connection
from cex.errors import reading
from cex.feeds.data import Levels
from cex.markets import Market
from cex.numbers import to_decimal


def levels_of(market: Market, rows: Sequence[Sequence[Any]]) -> Levels:
    """Read one side of ccxt's book.

    Raises:
        InputError: A number that is none, or off the market's grid.
    """
    return tuple((market.instrument.ticks(to_decimal(row[0])), market.lots(row[1])) for row in rows)


async def fetch_book(connection: Connection, market: Market) -> Any:
    """Ask for ccxt's view of the book; raises as `Connection.query`."""
    return await connection.query(
        f"book of {market.id}", lambda: connection.exchange.fetch_order_book(market.unified), weight=5
    )


async def fetch_touch(connection: Connection, market: Market) -> tuple[Levels, Levels]:
    """Ask for the best bid and the best ask.

    Raises:
        PlatformError: No answer, or one that cannot be read.
    """
    book = await fetch_book(connection, market)
    with reading(f"book of {market.id}"):
        return levels_of(market, book["bids"][:1]), levels_of(market, book["asks"][:1])
