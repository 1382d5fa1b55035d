"""Depth diffs of 4, 20, 100 and 400 levels: bytes to book to touch, against ccxt.pro's own handling of the same bytes.

Both books hold a thousand levels a side. A diff changes, inserts and deletes levels near the touch, as a venue's do.
Both sides start from the bytes that a socket gives; both touches are read after each message and compared at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import time

import capstan_native as native
import msgspec

from bench.rows import Row, figure_row, interleaved, ratio_row
from bench.spine_book import CcxtBook
from domain.events import BookChanged

TARGET_RATIO = 10
LEVELS = (4, 20, 100, 400)
_MESSAGES = 300
_SYMBOL = "ETHUSDC"
_MIDDLE = 300_000
"""Ticks of 0.01."""


def run() -> list[Row]:
    """Measure; takes about fifteen seconds."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    rows, peer = list[Row](), CcxtBook()
    try:
        for levels in LEVELS:
            snapshot, messages = _market(levels)
            if (ours := _native(snapshot, messages)) != (theirs := peer.play(snapshot, messages)):
                raise AssertionError(f"the books disagree: {ours} and {theirs}")
            pair = (lambda: _native(snapshot, messages), lambda: peer.play(snapshot, messages))  # noqa: B023
            spent, peers = interleaved(*pair, clock=time.process_time)
            rows.append(
                ratio_row(
                    topic="cex",
                    name=f"depth diff of {levels} levels, bytes to touch",
                    ours=spent / len(messages) * 1e6,
                    unit="us",
                    peer_name="ccxt.pro",
                    ratio=peers / spent,
                    target=TARGET_RATIO,
                )
            )
            told, _ = interleaved(lambda: _told(snapshot, messages), lambda: None, clock=time.process_time)  # noqa: B023
            rows.append(
                figure_row(
                    topic="cex",
                    name=f"the same, and told as a BookChanged of 10 levels ({levels})",
                    ours=told / len(messages) * 1e6,
                    unit="us",
                    peer_name="ccxt.pro, which tells its live object",
                    ratio=peers / told,
                )
            )
    finally:
        await peer.exchange.close()
    return rows


def _market(levels: int) -> tuple[bytes, list[bytes]]:
    """A snapshot and the diffs that continue it; the touch never crosses."""
    rng, now, last = random.Random(levels), 1_700_000_000_000, 1_000
    sides = [{_MIDDLE - 1 - i: 1_000 + i for i in range(1_000)}, {_MIDDLE + i: 1_000 + i for i in range(1_000)}]
    rows = [[[_price(price), _size(lots)] for price, lots in side.items()] for side in sides]
    snapshot = msgspec.json.encode({"lastUpdateId": last, "bids": rows[0], "asks": rows[1]})
    messages = []
    for _ in range(_MESSAGES):
        now, first, changes = now + 100, last + 1, list[list[list[str]]]()
        for side, away in ((sides[0], -1), (sides[1], 1)):
            changed: dict[int, int] = {}
            while len(changed) < levels // 2:
                distance = min(int(rng.expovariate(1 / (levels + 10))), 900)
                price = _MIDDLE + distance if away > 0 else _MIDDLE - 1 - distance
                changed[price] = 0 if price in side and rng.random() < 0.3 else rng.randint(1, 90_000)
            for price, lots in changed.items():
                side.pop(price, None)
                if lots:
                    side[price] = lots
            changes.append([[_price(price), _size(lots)] for price, lots in changed.items()])
        last += levels
        event = {"e": "depthUpdate", "E": now, "s": _SYMBOL, "U": first, "u": last, "b": changes[0], "a": changes[1]}
        messages.append(json.dumps(event, separators=(",", ":")).encode())
    return snapshot, messages


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}000000"


def _size(lots: int) -> str:
    return f"{lots // 10_000}.{lots % 10_000:04}0000"


def _native(snapshot: bytes, messages: list[bytes]) -> tuple[float, float]:
    book = native.L2Book("0.01", "0.0001", _SYMBOL)
    book.apply_snapshot(snapshot)
    bid = ask = None
    for message in messages:
        book.apply_diff(message)
        bid, ask = book.best_bid(), book.best_ask()
    if bid is None or ask is None:
        raise AssertionError(f"the native book is not valid: {book.stale_reason}")
    return bid[0] / 100, ask[0] / 100


def _told(snapshot: bytes, messages: list[bytes]) -> None:
    book = native.L2Book("0.01", "0.0001", _SYMBOL)
    book.apply_snapshot(snapshot)
    for message in messages:
        book.apply_diff(message)
        bids, asks = book.top(10)
        BookChanged(
            time_ns=0,
            instrument="v:ETHUSDC",
            bids=tuple(bids),
            asks=tuple(asks),
            update_id=book.last_update_id,
            received_ns=1,
        )
