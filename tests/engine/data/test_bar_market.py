"""A market made of bars: what it shows, when, and that it knows nothing of what is to come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from engine.data import BarMarket, bar_market_events
from engine.data.captures import Events
from engine.records import EventFlag, EventKind

_HOUR = timedelta(hours=1)
_HOUR_NS = 3_600 * 10**9
_MS = 10**6


def bars(count: int = 40, seed: int = 7) -> pl.DataFrame:
    random = np.random.Generator(np.random.PCG64(seed))
    last = 1_000 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    first = np.concatenate([[1_000.0], last[:-1]])
    wick = np.abs(random.normal(0, 0.004, (2, count)))
    return pl.DataFrame(
        {
            "time": [datetime(2024, 1, 2, tzinfo=UTC) + at * _HOUR for at in range(count)],
            "open": first,
            "high": np.maximum(first, last) * (1 + wick[0]),
            "low": np.minimum(first, last) * (1 - wick[1]),
            "close": last,
            "volume": random.uniform(500, 1_500, count),
        }
    )


def made(table: pl.DataFrame, **terms: object) -> Events:
    market = BarMarket(**terms)  # type: ignore[arg-type]
    return bar_market_events(table, instrument=3, tick=0.01, lot=0.001, period=_HOUR, market=market)


def book(events: Events, place: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Bids and asks of the book that begins with the `place`-th CLEAR."""
    begins = np.flatnonzero(events["kind"] == EventKind.CLEAR)
    ends = np.append(begins[1:], len(events))
    rows = events[begins[place] : ends[place]]
    rows = rows[rows["kind"] == EventKind.LEVEL]
    both = [rows[rows["side"] == side] for side in (0, 1)]
    return tuple(list(zip(one["price"].tolist(), one["size"].tolist(), strict=True)) for one in both)  # type: ignore[return-value]


def test_a_bar_is_a_path_of_four_books_then_its_bar() -> None:
    table = bars()
    events = made(table, levels=3)
    begin = int(table["time"][1].timestamp()) * 10**9
    here = (events["time_exchange_ns"] >= begin) & (events["time_exchange_ns"] < begin + _HOUR_NS)
    ours = events[here & (events["kind"] != EventKind.BAR)]
    clears = ours[ours["kind"] == EventKind.CLEAR]
    after = (clears["time_exchange_ns"] - begin).tolist()
    assert after == [0, _HOUR_NS // 3, 2 * _HOUR_NS // 3, _HOUR_NS - _MS - 1_000]
    assert (ours["time_local_ns"] - ours["time_exchange_ns"] == _MS).all()
    row = table.row(1, named=True)
    turns = [row["low"], row["high"]] if row["close"] >= row["open"] else [row["high"], row["low"]]
    for place, price in enumerate([row["open"], *turns, row["close"]]):
        bids, asks = book(ours, place)
        assert len(bids) == len(asks) == 3
        assert bids[0][0] * 0.01 == pytest.approx(price * (1 - 1e-4), abs=0.0101)
        assert asks[0][0] * 0.01 == pytest.approx(price * (1 + 1e-4), abs=0.0101)
        assert [p for p, _ in bids] == sorted({p for p, _ in bids}, reverse=True)
        assert [p for p, _ in asks] == sorted({p for p, _ in asks})
    # The bar is told after its last book and before the next open, which the venue has at that very instant.
    bar = int(np.flatnonzero((events["kind"] == EventKind.BAR) & (events["time_local_ns"] == begin + _HOUR_NS))[0])
    assert events["time_exchange_ns"][bar - 1] == begin + _HOUR_NS - _MS - 1_000
    assert events["time_exchange_ns"][bar + 1] == begin + _HOUR_NS
    assert events["time_local_ns"][bar + 1] == begin + _HOUR_NS + _MS
    assert (np.diff(events["time_local_ns"]) >= 0).all()
    assert (np.diff(events["time_exchange_ns"].astype(np.int64)) >= -_MS).all()


def test_depth_is_the_square_root_law_of_the_bars_before() -> None:
    table = bars()
    levels, share = 40, 0.2
    events = made(table, levels=levels, depth_share=share, impact=1.5, memory_bars=10)
    at = 30
    before = table[at - 10 : at]
    volume = before["volume"].mean() / 0.001
    volatility = float(np.sqrt((np.log((before["high"] / before["low"]).to_numpy()) ** 2).mean() / (4 * np.log(2))))
    bids, asks = book(events, 4 * (at - 1))
    for side in (bids, asks):
        lots = np.cumsum([size for _, size in side])
        assert lots[-1] == pytest.approx(volume * share, rel=1e-3)
        # Taking all of it moves the price by y * sigma * sqrt(Q / V), two thirds of that in the mean.
        prices = np.array([price for price, _ in side])
        sizes = np.array([size for _, size in side])
        reach = 1.5 * volatility * np.sqrt(share)
        assert abs(prices[-1] / prices[0] - 1) == pytest.approx(reach, rel=0.03)
        mean = abs((prices * sizes).sum() / sizes.sum() / prices[0] - 1)
        assert mean == pytest.approx(reach * 2 / 3, rel=0.03)


def test_what_is_told_before_a_bar_closes_does_not_change_with_what_follows() -> None:
    table, at = bars(), 20
    other = pl.concat([table[:at], bars(seed=8)[at:]])
    close_ns = int(table["time"][at].timestamp()) * 10**9
    for path in ("ohlc", "open_close"):
        first, second = made(table, path=path), made(other, path=path)
        same = [one[one["time_local_ns"] <= close_ns].tobytes() for one in (first, second)]
        assert same[0] == same[1] != b""


def test_open_close_shows_nothing_of_a_bar_before_its_end() -> None:
    table, at = bars(), 20
    wilder = table.with_columns(
        high=pl.when(pl.int_range(pl.len()) == at).then(pl.col("high") * 1.1).otherwise(pl.col("high")),
        volume=pl.when(pl.int_range(pl.len()) == at).then(pl.col("volume") * 9).otherwise(pl.col("volume")),
    )
    until = int(table["time"][at].timestamp()) * 10**9 + _HOUR_NS - 1_001
    first, second = made(table, path="open_close"), made(wilder, path="open_close")
    same = [one[one["time_local_ns"] < until].tobytes() for one in (first, second)]
    assert same[0] == same[1]
    assert first.tobytes() != second.tobytes()


def test_trades_carry_the_volume_and_fill_nothing() -> None:
    events = made(bars())
    trades, told = events[events["kind"] == EventKind.TRADE], events[events["kind"] == EventKind.BAR]
    assert trades["size"].sum() == told["size"].sum()
    assert set(trades["side"].tolist()) == {255}


def test_where_bars_are_missing_the_book_is_empty() -> None:
    table = bars()
    gap = pl.concat([table[:20], table[25:]])
    events = made(gap)
    closed = int(table["time"][20].timestamp()) * 10**9
    here = events[(events["time_exchange_ns"] >= closed) & (events["time_exchange_ns"] < closed + 5 * _HOUR_NS)]
    kinds = here["kind"].tolist()
    assert kinds == [EventKind.BAR, EventKind.CLEAR]
    assert here["flags"][1] & EventFlag.LAST


def test_coarse_ticks_and_no_volume_still_make_a_book_that_is_not_crossed() -> None:
    table = bars().with_columns(volume=pl.lit(0.0))
    table = pl.concat([table[:20].with_columns(volume=pl.lit(1.0)), table[20:]])
    market = BarMarket()
    events = bar_market_events(table, instrument=0, tick=400.0, lot=0.5, period=_HOUR, market=market)
    levels = events[events["kind"] == EventKind.LEVEL]
    assert (levels["price"] > 0).all()
    assert (levels["size"] >= 0).all()
    bids, asks = levels[levels["side"] == 0], levels[levels["side"] == 1]
    for when in np.unique(levels["time_exchange_ns"]).tolist():
        low, high = (one["price"][one["time_exchange_ns"] == when] for one in (bids, asks))
        assert low.max() < high.min()


def test_a_single_bar_is_only_told() -> None:
    assert made(bars(1))["kind"].tolist() == [EventKind.BAR]
