"""The Binance protocol spoken by ourselves, behind the same port as every other venue.

`BinanceFeed` is one instrument's book and trades, `BinanceUserStream` one account's trades and orders.
"""

from cex.binance.feed import BinanceFeed
from cex.binance.user_stream import BinanceUserStream

__all__ = ["BinanceFeed", "BinanceUserStream"]
