"""Checksums against the venues' published examples, and against ccxt's own on random books."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cex.feeds import checksums

KRAKEN_ASKS = [
    ("45285.2", "0.00100000"),
    ("45286.4", "1.54571953"),
    ("45286.6", "1.54571109"),
    ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"),
    ("45291.8", "1.54553491"),
    ("45294.7", "0.04454749"),
    ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"),
    ("45299.5", "0.18772827"),
]
KRAKEN_BIDS = [
    ("45283.5", "0.10000000"),
    ("45283.4", "1.54582015"),
    ("45282.1", "0.10000000"),
    ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"),
    ("45279.0", "0.07990000"),
    ("45277.6", "0.03310103"),
    ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"),
    ("45276.6", "0.15445238"),
]


def test_okx_published_examples() -> None:
    """OKX's documentation: sides of equal length, and asks that go on alone."""
    assert checksums.okx([("3366.1", "7"), ("3366", "6")], [("3366.8", "9"), ("3368", "8")]) == -1881014294
    assert checksums.okx([("3366.1", "7")], [("3366.8", "9"), ("3368", "8"), ("3372", "8")]) == 831078360


def test_kraken_published_example() -> None:
    """https://docs.kraken.com/api/docs/guides/spot-ws-book-v2, "Example": BTC/USD."""
    assert checksums.kraken(KRAKEN_BIDS, KRAKEN_ASKS) == 3310070434


def test_a_zero_at_the_end_counts() -> None:
    bids = KRAKEN_BIDS
    assert checksums.kraken([("45283.5", "0.1"), *bids[1:]], KRAKEN_ASKS) != 3310070434


class Rejections:
    """Stands where ccxt keeps its WebSocket client, and counts what it rejects."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {"book:tBTCUSD": {}}
        self.rejected = 0

    def resolve(self, *_: Any) -> None: ...

    def reject(self, *_: Any) -> None:
        self.rejected += 1


amounts = st.integers(1, 10**9).map(lambda n: n / 10**4)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.integers(1, 999), amounts, max_size=30),
    st.dictionaries(st.integers(1_000, 2_000), amounts, max_size=30),
    st.integers(0, 1),
)
def test_bitfinex_equals_ccxts(bids: dict[int, float], asks: dict[int, float], error: int) -> None:
    """ccxt is given a snapshot and our checksum of it: it agrees, and rejects one that is off by one."""
    import ccxt.pro

    client = ccxt.pro.bitfinex()
    client.set_markets([{"id": "tBTCUSD", "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "spot": True}])
    rows = [[price, 1, amount] for price, amount in bids.items()] + [[p, 1, -a] for p, a in asks.items()]
    subscription = {"symbol": "tBTCUSD", "prec": "P0", "len": "100"}
    listener = Rejections()
    client.handle_order_book(listener, [7, rows], subscription)
    texts_of_bids = [(str(price), text(bids[price])) for price in sorted(bids, reverse=True)]
    texts_of_asks = [(str(price), text(-asks[price])) for price in sorted(asks)]
    ours = checksums.bitfinex(texts_of_bids, texts_of_asks) + error
    client.handle_checksum(listener, [7, "cs", ours], subscription)
    assert listener.rejected == error


def text(number: float) -> str:
    """As JavaScript writes it, which is what the venue sends."""
    return str(int(number)) if number == int(number) else str(number)
