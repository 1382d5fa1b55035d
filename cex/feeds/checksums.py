"""What venues say their best levels add up to, computed here from the texts they sent.

A venue's CRC32 covers the texts as it wrote them: `45283.50` and `45283.5` differ. So levels come as pairs of text,
best first, and nothing is parsed.

- OKX, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel ("Checksum")
- Kraken, https://docs.kraken.com/api/docs/guides/spot-ws-book-v2
- Bitfinex, https://docs.bitfinex.com/docs/ws-websocket-checksum
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final, TypeAlias
from zlib import crc32

TextLevels: TypeAlias = Sequence[tuple[str, str]]
"""Price and size, best first. Of raw Bitfinex books, order id and size."""

OKX_LEVELS: Final = 25
KRAKEN_LEVELS: Final = 10
BITFINEX_LEVELS: Final = 25


def okx(bids: TextLevels, asks: TextLevels) -> int:
    """Bid, ask, bid, ask, … joined by colons; a side that is shorter is left out at its end. Signed."""
    return _signed(_alternating(bids[:OKX_LEVELS], asks[:OKX_LEVELS]))


def kraken(bids: TextLevels, asks: TextLevels) -> int:
    """All asks, then all bids, each number without its point and leading zeros. Unsigned."""
    levels = [*asks[:KRAKEN_LEVELS], *bids[:KRAKEN_LEVELS]]
    return crc32("".join(_digits(price) + _digits(qty) for price, qty in levels).encode())


def bitfinex(bids: TextLevels, asks: TextLevels) -> int:
    """As OKX's, with the sizes of asks negative, as they are sent. Signed."""
    return _signed(_alternating(bids[:BITFINEX_LEVELS], asks[:BITFINEX_LEVELS]))


def _alternating(bids: TextLevels, asks: TextLevels) -> Iterator[str]:
    for bid, ask in zip_longest(bids, asks):
        if bid is not None:
            yield from bid
        if ask is not None:
            yield from ask


def _signed(parts: Iterator[str]) -> int:
    unsigned = crc32(":".join(parts).encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def _digits(number: str) -> str:
    return number.replace(".", "").lstrip("0")
