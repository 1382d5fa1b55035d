"""Depth message to top of book: the native book against ccxt.pro's own handling of the same bytes.

The messages are the sandbox's 100 ms diffs of a seeded market. Both sides start from bytes: ccxt's client is given
them decoded as its WebSocket library would give them, and runs its own parser, router and order book.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import capstan_native as native
import msgspec

from bench.rows import Row, interleaved, ratio_row
from cex.sandbox import KNOWN_SYMBOLS, FlowConfig
from cex.sandbox.exchange import Exchange
from cex.sandbox.flow import FlowSimulator
from cex.sandbox.marketviews import depth_event, depth_view

TARGET_RATIO = 5
_MESSAGES = 400
_SYMBOL, _UNIFIED = "ETHUSDC", "ETH/USDC"


def run() -> list[Row]:
    """Measure; takes about five seconds."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    snapshot, messages = _market()
    peer = CcxtBook()
    try:
        ours_top, theirs_top = _native(snapshot, messages), peer.play(snapshot, messages)
        if ours_top != theirs_top:
            raise AssertionError(f"the books disagree: {ours_top} and {theirs_top}")
        # Both clocks include loading the snapshot: one message of four hundred.
        ours, theirs = interleaved(lambda: _native(snapshot, messages), lambda: peer.play(snapshot, messages))
    finally:
        await peer.exchange.close()
    levels = sum(len(d["b"]) + len(d["a"]) for d in map(json.loads, messages)) / len(messages)
    return [
        ratio_row(
            topic="spine",
            name=f"depth message ({levels:.0f} levels) to top of book",
            ours=ours / len(messages) * 1e6,
            unit="us",
            peer_name="ccxt.pro",
            ratio=theirs / ours,
            target=TARGET_RATIO,
        )
    ]


def _market() -> tuple[bytes, list[bytes]]:
    """A snapshot and the diffs that continue it."""
    now = 1_700_000_000_000
    exchange = Exchange([KNOWN_SYMBOLS[_SYMBOL]], [], lambda: now, reference_prices={_SYMBOL: 300_000})
    flow, market = FlowSimulator(exchange, FlowConfig(), seed=7), exchange.markets[_SYMBOL]
    for _ in range(100):
        flow.step()
    market.take_changes(market.fast)
    snapshot, messages = msgspec.json.encode(depth_view(market, 1_000)), []
    while len(messages) < _MESSAGES:
        now += 100
        flow.step()
        flow.step()
        changes = market.take_changes(market.fast)
        if changes is not None:
            messages.append(msgspec.json.encode(depth_event(market.spec, changes, now)))
    return snapshot, messages


def _native(snapshot: bytes, messages: list[bytes]) -> tuple[float, float]:
    book = native.L2Book("0.01", "0.0001", _SYMBOL)
    book.apply_snapshot(snapshot)
    for message in messages:
        book.apply_diff(message)
        bid, ask = book.best_bid(), book.best_ask()
    if bid is None or ask is None:
        raise AssertionError(f"the native book is not valid: {book.stale_reason}")
    return bid[0] / 100, ask[0] / 100


class CcxtBook:
    """ccxt.pro's Binance client with one market and one book, and no network."""

    def __init__(self) -> None:
        import ccxt.pro

        self.exchange = ccxt.pro.binance({"enableRateLimit": False})
        market = {"id": _SYMBOL, "symbol": _UNIFIED, "base": "ETH", "quote": "USDC", "baseId": "ETH", "quoteId": "USDC"}
        market |= {"spot": True, "type": "spot", "active": True, "limits": {}, "info": {}}
        self.exchange.set_markets([market | {"precision": {"price": 0.01, "amount": 0.0001}}])
        self._socket: Any = self.exchange.client("wss://localhost/stream/ws/0")

    def play(self, snapshot: bytes, messages: list[bytes]) -> tuple[float, float]:
        """Give the best bid and ask after all messages, having read them after each."""
        client, decoded = self.exchange, json.loads(snapshot)
        loaded = client.parse_order_book(decoded, _UNIFIED) | {"nonce": decoded["lastUpdateId"]}
        client.orderbooks[_UNIFIED] = client.order_book(loaded, 1_000)
        for message in messages:
            self._socket.handle_text_or_binary_message(message.decode())
            book = client.orderbooks[_UNIFIED]
            bid, ask = book["bids"][0], book["asks"][0]
        return bid[0], ask[0]
