"""Replaying a recording as background liquidity."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import capstan_native as native
import pytest

from cex.sandbox import KNOWN_SYMBOLS, AccountSpec, ReplayConfig
from cex.sandbox.config import UNIT
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import NewOrder
from cex.sandbox.replay import Replay
from domain import InputError

BTCUSDT = KNOWN_SYMBOLS["BTCUSDT"]
CLIENT = AccountSpec("ann", "key", "s", None, {"USDT": "1000000"})


def make_exchange(reference_price: int = 6_183_700) -> Exchange:
    return Exchange([BTCUSDT], [CLIENT], lambda: 1_723_161_254_000, reference_prices={"BTCUSDT": reference_price})


def write(path: Path, *messages: object) -> Path:
    """One message per second."""
    path.write_text("".join(f"{i * 10**9} {json.dumps(message)}\n" for i, message in enumerate(messages)))
    return path


SNAPSHOT = {"lastUpdateId": 10, "bids": [["100.00", "1"], ["99.00", "2"]], "asks": [["101.00", "1.5"]]}


def diff(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> object:
    return {"stream": "x", "data": {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}}


def trade(price: str, qty: str, *, buyer_is_maker: bool) -> object:
    return {"stream": "x", "data": {"e": "trade", "s": "BTCUSDT", "p": price, "q": qty, "m": buyer_is_maker}}


def test_the_recorded_book_is_the_book_at_every_speed(tmp_path: Path) -> None:
    recording = write(
        tmp_path / "a.txt",
        diff(9, 11, [["100.00", "3"]], []),
        SNAPSHOT,
        diff(12, 12, [["100.00", "0"]], [["100.50", "1"]]),
        diff(13, 13, [["100.75", "2"]], [["100.50", "0"]]),
    )
    exchange = make_exchange()
    replay = Replay(exchange, ReplayConfig(recording, "BTCUSDT", speed=2.0))
    engine = exchange.markets["BTCUSDT"].engine
    assert replay.advance(600_000_000) == 2
    assert engine.levels(native.BUY, 9) == [(10_000, 300_000), (9_900, 200_000)]
    replay.advance(500_000_000)
    assert (engine.best(native.BUY), engine.best(native.SELL)) == ((9_900, 200_000), (10_050, 100_000))
    replay.advance(500_000_000)
    assert (engine.best(native.BUY), engine.best(native.SELL)) == ((10_075, 200_000), (10_100, 150_000))
    assert replay.is_over


def test_a_recorded_trade_fills_a_clients_better_price(tmp_path: Path) -> None:
    recording = write(tmp_path / "a.txt", SNAPSHOT, trade("100.00", "0.4", buyer_is_maker=True))
    exchange = make_exchange(reference_price=10_000)
    replay = Replay(exchange, ReplayConfig(recording, "BTCUSDT"))
    replay.advance(0)
    mine = exchange.place(
        exchange.accounts[1],
        "BTCUSDT",
        NewOrder(native.BUY, "LIMIT", "GTC", price_raw=int(Decimal("100.01") * UNIT), qty_raw=UNIT // 10),
    )
    replay.advance(10**9)
    assert mine.status == "FILLED"
    assert exchange.markets["BTCUSDT"].last_price == 10_000, "the rest of the trade was at the recorded price"


def test_a_bad_recording_is_named_with_its_line(tmp_path: Path) -> None:
    cases = {"empty": b"", "text": b"hello\n", "json": b"1 {]\n", "missing.gz": None, "not-gzip.gz": b"1 {}\n"}
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            Replay(make_exchange(), ReplayConfig(path, "BTCUSDT"))


def test_a_real_capture_replays_to_its_own_book(market_data: Path) -> None:
    path = market_data / "binance_l2_20240808" / "spot_btcusdt_20240808.gz"
    exchange = make_exchange()
    replay = Replay(exchange, ReplayConfig(path, "BTCUSDT", speed=20.0))
    replay.advance(10**9)
    assert not replay.is_over
    # The same twenty seconds through the native book.
    book = native.L2Book("0.01", "0.00001")
    with gzip.open(path, "rb") as lines:
        start = None
        for line in lines:
            stamp, _, message = line.partition(b" ")
            start = start or int(stamp)
            if int(stamp) - start > 20 * 10**9:
                break
            if b"lastUpdateId" in message[:20]:
                book.apply_snapshot(message)
            elif b"@depth" in message[:40]:
                book.apply_diff(message)
    engine = exchange.markets["BTCUSDT"].engine
    bid, ask = engine.best(native.BUY), engine.best(native.SELL)
    recorded_bid, recorded_ask = book.best_bid(), book.best_ask()
    assert bid is not None
    assert ask is not None
    assert recorded_bid is not None
    assert recorded_ask is not None
    # Trades since the last diff may have eaten into the touch; the next diff restores it.
    assert abs(bid[0] - recorded_bid[0]) <= 200
    assert abs(ask[0] - recorded_ask[0]) <= 200
    assert len(engine.levels(native.BUY, 2_000)) > 900
