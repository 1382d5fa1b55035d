"""The L2 book against its plain reference and against a recorded market."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.l2book import ReferenceBook

_levels = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=6)


def _texts(levels: list[tuple[int, int]]) -> list[list[str]]:
    return [[f"{Decimal(price) / 100:.8f}", f"{Decimal(lots) / 1000:.8f}"] for price, lots in levels]


@st.composite
def _messages(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Diffs that mostly continue, sometimes repeat, overlap or skip; snapshots now and then."""
    messages, last = [], 100
    for _ in range(draw(st.integers(0, 25))):
        bids, asks = (
            _texts(draw(_levels)),
            _texts([(price + draw(st.sampled_from((30, 0))), n) for price, n in draw(_levels)]),
        )
        if draw(st.integers(0, 5)) == 0:
            # A real snapshot tells each price once.
            distinct = [list({level[0]: level for level in side}.values()) for side in (bids, asks)]
            body: dict[str, Any] = {
                "lastUpdateId": max(0, last + draw(st.integers(-4, 2))),
                "bids": distinct[0],
                "asks": distinct[1],
            }
            messages.append(("apply_snapshot", body))
        else:
            first = last + 1 + draw(st.sampled_from((0, 0, 0, 0, 0, -1, -3, 2)))
            last = max(first, last + draw(st.integers(0, 3)))
            body = {"e": "depthUpdate", "E": 1, "s": "AB", "U": first, "u": last, "b": bids, "a": asks}
            messages.append(("apply_diff", body))
    wrap = draw(st.booleans())
    return [
        (name, json.dumps({"stream": "ab@depth", "data": body} if wrap else body).encode()) for name, body in messages
    ]


@settings(max_examples=300, deadline=None)
@given(_messages())
def test_every_stream_of_messages_gives_the_reference_book(messages: list[tuple[str, bytes]]) -> None:
    book, reference = native.L2Book("0.01", "0.001"), ReferenceBook("0.01", "0.001")
    for name, message in messages:
        assert getattr(book, name)(message) == getattr(reference, name)(message), message
        assert book.is_valid == reference.valid
        assert book.top(100) == reference.top(100)
        assert book.last_update_id == reference.last_update_id


def test_an_off_tick_price_is_refused_and_an_off_lot_size_rounded_down() -> None:
    book = native.L2Book("0.01", "0.001")
    with pytest.raises(native.DecodeError, match=r'price "1\.005": not a multiple of the step'):
        book.apply_snapshot(b'{"lastUpdateId":1,"bids":[["1.005","1"]],"asks":[]}')
    book.apply_snapshot(b'{"lastUpdateId":1,"bids":[["1.00","1.2345"],["0.99","0.0009"]],"asks":[]}')
    assert book.top(5) == ([(100, 1234)], [])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_noise_is_refused_and_changes_nothing(noise: bytes) -> None:
    book = native.L2Book("0.01", "0.001")
    book.apply_snapshot(b'{"lastUpdateId":1,"bids":[["1.00","1"]],"asks":[["2.00","1"]]}')
    for apply in (book.apply_diff, book.apply_snapshot):
        with pytest.raises(native.DecodeError):
            apply(noise)
    assert (book.best_bid(), book.best_ask(), book.last_update_id) == ((100, 1000), (200, 1000), 1)


@given(st.data())
def test_a_damaged_message_never_half_applies(data: st.DataObject) -> None:
    diff = b'{"e":"depthUpdate","s":"AB","U":2,"u":3,"b":[["1.01","2.5"],["1.00","0"]],"a":[["1.99","0.001"]]}'
    at = data.draw(st.integers(0, len(diff) - 1))
    damaged = diff[:at] + data.draw(st.binary(max_size=2)) + diff[at + 1 :]
    book, untouched = native.L2Book("0.01", "0.001"), ((100, 1000), (200, 1000), 1)
    book.apply_snapshot(b'{"lastUpdateId":1,"bids":[["1.00","1"]],"asks":[["2.00","1"]]}')
    try:
        book.apply_diff(damaged)
    except native.DecodeError:
        assert (book.best_bid(), book.best_ask(), book.last_update_id) == untouched
    else:
        payload = json.loads(damaged)  # What was accepted is JSON that Python reads too.
        if book.last_update_id != 1:
            assert book.last_update_id == payload["u"]


def test_sizes_of_the_grid_are_checked() -> None:
    for tick, lot in (("0", "1"), ("x", "1"), ("1", "-1"), ("1e-2", "1")):
        with pytest.raises(ValueError, match="tick size"):
            native.L2Book(tick, lot)


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_a_recorded_market_loads_without_a_gap_and_agrees_with_its_book_ticker(market_data: Path, symbol: str) -> None:
    path = market_data / "binance_l2_20240808" / f"spot_{symbol}_20240808.gz"
    book = native.L2Book("0.01", "0.00001" if symbol == "btcusdt" else "0.0001", symbol.upper())
    lot = Decimal("0.00001") if symbol == "btcusdt" else Decimal("0.0001")
    tickers: dict[int, dict[str, str]] = {}
    best_by_id: dict[int, tuple[tuple[int, int] | None, tuple[int, int] | None]] = {}
    diffs = 0
    with gzip.open(path, "rb") as lines:
        for line in lines:
            message = line.partition(b" ")[2]
            if b"@bookTicker" in message[:40]:
                ticker = json.loads(message)["data"]
                tickers[ticker["u"]] = ticker
            elif b"lastUpdateId" in message[:20]:
                assert book.apply_snapshot(message)
            elif b"@depth" in message[:40]:
                book.apply_diff(message)
                diffs += 1
                if book.last_update_id:
                    assert book.is_valid, book.stale_reason
                    best_by_id[book.last_update_id] = book.best_bid(), book.best_ask()
    matched = best_by_id.keys() & tickers.keys()
    assert diffs > 3_000
    assert len(matched) > 100
    for update_id in matched:
        ticker = tickers[update_id]
        expected = tuple(
            (int(Decimal(ticker[price]) * 100), int(Decimal(ticker[qty]) / lot))
            for price, qty in (("b", "B"), ("a", "A"))
        )
        assert best_by_id[update_id] == expected, update_id
