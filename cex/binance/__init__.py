"""The Binance protocol spoken by ourselves, behind the same port as every other venue, without ccxt.

    bytes ── messages (frozen structs) ── reading (plain functions) ──> our terms
    orders ── forms (prepared, signed) ── request_socket, or REST ──> the venue

`BinanceConnection` is one account's HTTP, keys, limits and time; `BinanceFeed` one instrument's book and trades,
`BinanceUserStream` the account's own trades and orders, `BinanceAccount` its REST, `BinanceOrders` what it sends.
"""

from cex.binance.account import BinanceAccount
from cex.binance.connection import BinanceConnection
from cex.binance.feed import BinanceFeed
from cex.binance.orders import BinanceOrders
from cex.binance.user_stream import BinanceUserStream

__all__ = ["BinanceAccount", "BinanceConnection", "BinanceFeed", "BinanceOrders", "BinanceUserStream"]
