"""Replaying a recording as background liquidity."""

from __future__ import annotations

import gzip
import json
import math
from decimal import Decimal
from pathlib import Path

import capstan_native as native
import pytest

from cex.sandbox import KNOWN_SYMBOLS, AccountSpec, ReplayConfig, SandboxConfig
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


def test_several_recordings_are_played_in_step_each_into_its_symbol(tmp_path: Path) -> None:
    ethusdt = KNOWN_SYMBOLS["ETHUSDT"]
    prices = {"BTCUSDT": 10_000, "ETHUSDT": 10_000}
    exchange = Exchange([BTCUSDT, ethusdt], [CLIENT], lambda: 1_723_161_254_000, reference_prices=prices)
    btc = write(tmp_path / "btc.txt", SNAPSHOT, diff(11, 11, [["100.00", "3"]], []))
    eth = tmp_path / "eth.txt"
    eth.write_text(f"{15 * 10**8} {json.dumps({'lastUpdateId': 7, 'bids': [['9.00', '1']], 'asks': []})}\n")
    replay = Replay(exchange, ReplayConfig(btc, "BTCUSDT", 2.0), ReplayConfig(eth, "ETHUSDT", 2.0))
    engines = {name: market.engine for name, market in exchange.markets.items()}
    assert replay.advance(500_000_000) == 2
    assert engines["BTCUSDT"].best(native.BUY) == (10_000, 300_000)
    assert engines["ETHUSDT"].best(native.BUY) is None
    assert replay.advance(250_000_000) == 1
    assert engines["ETHUSDT"].best(native.BUY) == (900, 10_000)
    assert replay.is_over


def test_at_full_speed_time_does_not_count_and_portions_are_kept(tmp_path: Path) -> None:
    sizes = [diff(number, number, [["100.00", str(number)]], []) for number in range(11, 61)]
    exchange = make_exchange()
    replay = Replay(exchange, ReplayConfig(write(tmp_path / "a.txt", SNAPSHOT, *sizes), "BTCUSDT", math.inf))
    assert [replay.advance(0, 20), replay.advance(0, 20)] == [20, 20]
    assert not replay.is_over
    assert replay.advance(0, 20) == 11
    assert replay.is_over
    assert exchange.markets["BTCUSDT"].engine.best(native.BUY) == (10_000, 6_000_000)


@pytest.mark.parametrize(
    "replays",
    [
        (ReplayConfig(Path("a"), "NOPE"),),
        (ReplayConfig(Path("a"), "BTCUSDT"), ReplayConfig(Path("b"), "BTCUSDT")),
        (ReplayConfig(Path("a"), "BTCUSDT", 1.0), ReplayConfig(Path("b"), "ETHUSDT", 2.0)),
    ],
    ids=["unknown symbol", "one symbol twice", "two speeds"],
)
def test_recordings_that_do_not_fit_together_are_refused(replays: tuple[ReplayConfig, ...]) -> None:
    with pytest.raises(InputError):
        SandboxConfig(replays=replays)
