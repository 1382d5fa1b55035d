"""What was recorded of a market, read back: the exchange's book, every trade, and staleness after a loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex import CcxtVenue
from cex.feeds.data import Book, BookLost, Levels
from cex.feeds.recorder import Recorder, changes
from cex.markets import Market
from domain import Side
from domain.events import BookChanged, TradePrinted
from engine.data import CaptureFormat, Loaded, load_capture
from engine.records import EventKind
from runtime import SystemClock
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS

SIDES = st.dictionaries(st.integers(1, 50), st.integers(1, 9), max_size=12)


def bids_of(levels: dict[int, int]) -> Levels:
    return tuple(sorted(levels.items(), reverse=True))


@given(SIDES, SIDES)
def test_changes_lead_from_one_book_to_the_next(before: dict[int, int], after: dict[int, int]) -> None:
    laid = dict(before)
    for ticks, lots in changes(bids_of(before), bids_of(after)):
        assert laid.get(ticks) != lots or not lots, "nothing is told that did not change"
        laid[ticks] = lots
    assert {ticks: lots for ticks, lots in laid.items() if lots} == after


def read(path: Path) -> Loaded:
    return load_capture([path], CaptureFormat("ETHUSDC", "0.01", "0.0001"))


def book_of(loaded: Loaded) -> tuple[dict[int, int], dict[int, int]]:
    """Lay the records down: bids and asks by ticks."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for event in loaded.events:
        if event["kind"] == EventKind.CLEAR:
            for side in sides if event["side"] > 1 else (sides[event["side"]],):
                side.clear()
        elif event["kind"] == EventKind.LEVEL:
            sides[event["side"]][int(event["price"])] = int(event["size"])
    return tuple({ticks: lots for ticks, lots in side.items() if lots} for side in sides)  # type: ignore[return-value]


def market_of(lab: SandboxLab) -> Market:
    return next(iter(lab.venue.markets.values()))


@pytest.mark.parametrize("feed", ["auto", "ccxt"])
async def test_recording_reads_back_as_the_exchanges_book_and_trades(feed: str, tmp_path: Path) -> None:
    path = tmp_path / "x.capture"
    async with sandbox_lab(feed=feed) as lab:
        # A second venue beside the lab's, which records from its start.
        recorded = SandboxLab(lab.base_url, lab._session)
        recorded.venue = CcxtVenue(lab.settings(feed=feed, api_key=None, secret=None), clock=SystemClock())
        with path.open("xb") as file:
            await recorded.venue.connect(recorded.recorder)
            recorder = Recorder(file, market_of(recorded))
            recorded.venue.on_data = recorder.take
            recorded.venue.on_raw = lambda _name, data, at: recorder.raw(data, at)
            await recorded.venue.follow()
            for step in range(4):
                await lab.counter(Side.BUY, BID + step, LOTS)
                await lab.counter(Side.SELL, ASK + step, LOTS)
            told = recorded.recorder
            while not told.of(TradePrinted):  # ccxt says of no stream when it is subscribed.
                await lab.ours.call("POST", "order", symbol="ETHUSDC", side="BUY", type="MARKET", quantity="0.01")
                await lab.round_trip()
            await lab.counter(Side.BUY, BID - 7, LOTS)
            await told.until(lambda: (BID - 7, LOTS) in told.of(BookChanged)[-1].bids)
            await recorded.venue.stop()
            last, trades = told.of(BookChanged)[-1], told.of(TradePrinted)
    loaded = read(path)
    bids, asks = book_of(loaded)
    assert (bids, asks) == (dict(last.bids), dict(last.asks))
    ours = loaded.events[loaded.events["kind"] == EventKind.TRADE]
    assert [(int(e["price"]), int(e["size"])) for e in ours] == [(t.price_ticks, t.qty_lots) for t in trades]
    # Stopping loses the book, which a recording of states says with a hole.
    assert loaded.sequence_errors == (1 if feed == "ccxt" else 0)
    assert (np.diff(loaded.events["time_local_ns"]) >= 0).all()


async def test_lost_book_is_stale_for_the_reader_until_the_next_snapshot(tmp_path: Path) -> None:
    async with sandbox_lab() as lab:
        market = market_of(lab)
    path, at = tmp_path / "x.capture", 1_700_000_000_000_000_000
    with path.open("xb") as file:
        recorder = Recorder(file, market)
        for number, bids in enumerate((((100, 1),), ((100, 2), (99, 1)))):
            recorder.take(Book(instrument="x", received_ns=at + number, bids=bids, asks=(), sequence=number))
        recorder.take(BookLost(instrument="x", received_ns=at + 2, reason="gone"))
        recorder.take(Book(instrument="x", received_ns=at + 3, bids=((98, 5),), asks=((101, 1),), sequence=9))
        recorder.take(Book(instrument="x", received_ns=at + 4, bids=((98, 6),), asks=((101, 1),), sequence=10))
    loaded = read(path)
    assert (loaded.events["kind"] == EventKind.STALE).sum() == 1
    assert book_of(loaded) == ({98: 6}, {101: 1})
    assert recorder.tally == {"snapshots": 2, "diffs": 2, "losses": 1}
