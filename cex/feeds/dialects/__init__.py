"""Public streams of venues that send a checksum with their books: bytes in, data out, no I/O.

A dialect keeps the book of one connection. Whatever does not fit (a gap, another checksum than the venue's, a number
off the grid, a crossed book) is `Resync`: the connection is closed, and the next one begins with a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cex.feeds.dialects.bitfinex import BitfinexDialect
from cex.feeds.dialects.dialect import Arrival, Dialect, Resync
from cex.feeds.dialects.kraken import KrakenDialect
from cex.feeds.dialects.okx import OkxDialect
from cex.markets import Market
from domain import InputError

__all__ = [
    "DIALECTS",
    "Arrival",
    "BitfinexDialect",
    "Dialect",
    "KrakenDialect",
    "OkxDialect",
    "Resync",
    "dialect_of",
    "stream_url",
]

DIALECTS: Mapping[str, Callable[[Market, int], Dialect]] = {
    "bitfinex": BitfinexDialect,
    "kraken": KrakenDialect,
    "okx": OkxDialect,
}
"""By ccxt's id: makes the dialect of one connection from the market and the levels a side that are wanted."""


def dialect_of(exchange: str, level: int) -> Callable[[Market, int], Dialect]:
    """Give what reads an exchange's books of price levels (2) or of single orders (3).

    Raises:
        InputError: It has none, or not of that kind.
    """
    if level == 3:
        if exchange != "bitfinex":
            raise InputError(f"{exchange} tells no single orders here", hint="book_level = 3 is for bitfinex")
        return partial(BitfinexDialect, is_raw=True)
    return DIALECTS[exchange]


def stream_url(exchange: str, urls: Any) -> str:
    """Find the public streams among ccxt's `urls["api"]`."""
    streams = urls["ws"]
    if exchange == "okx":
        return f"{streams}/public"
    return str(streams["publicV2" if exchange == "kraken" else "public"])
