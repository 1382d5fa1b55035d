"""A market that can be traded, made of bars: a book along each bar's path, with spread, depth and impact.

```text
 bar opens                                                                  bar closes
   |  open ────────> low or high ────────> the other ────────> close ─ BAR ─|  the next open
   0                 1/3                   2/3                 just before     at once, told a feed latency later
```

A bar that closes at or above its open went low first, else high first. Each point is a whole book: half the spread on
either side of the price, outwards to the tick, and behind it what the square-root law of impact leaves: down to a
distance d there are V·(d/(y·σ))² lots, V the mean volume of a bar and σ its volatility (Parkinson's, of highs and
lows), both of bars that are over. Whoever takes Q lots moves the price by y·σ·√(Q/V). The book ends at a share of V:
who wants more does not get it.

What decides on `on_bar` cannot see what it trades on: its orders arrive after the next open. What looks at books or
trades *inside* a bar sees a path that was drawn with the bar's end in mind; `path = "open_close"` shows nothing there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.data.bars import bar_events
from engine.data.captures import Events
from engine.records import EVENT, EventFlag, EventKind

Path = Literal["ohlc", "open_close"]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_SIDES: Final = (0, 1)
_NONE: Final = 255
_BOTH: Final = int(EventFlag.EXCHANGE | EventFlag.LOCAL)
_LAST: Final = _BOTH | int(EventFlag.LAST)
_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)
_MICROSECOND: Final = 1_000


@dataclass(frozen=True, slots=True)
class BarMarket:
    """How a market looks that only bars are known of."""

    spread_bps: float = 2.0
    """Between best bid and best ask."""
    impact: float = 1.0
    """y: by how many of a bar's volatilities an order as large as a bar's volume moves the price."""
    depth_share: float = 0.1
    """How much of a bar's volume the book shows on each side."""
    levels: int = 6
    """Prices of each side."""
    memory_bars: int = 24
    """Bars before this one whose volume and range say how deep and how wild the market is."""
    feed_latency_us: int = 1_000
    path: Path = "ohlc"


def bar_market_events(
    bars: pl.DataFrame, *, instrument: int, tick: float, lot: float, period: timedelta, market: BarMarket
) -> Events:
    """Make BAR records and the books and trades of the bars' paths, in local time.

    The first bar shows no book: nothing is known yet of its depth. Where bars are missing the book is empty. Public
    trades carry a bar's volume in equal parts to the points after its open; their taker is unknown, so that they fill
    no resting order: what rests is filled where the path's book goes through it.
    """
    told = bar_events(bars, instrument=instrument, tick=tick, lot=lot, period=period)
    if len(told) < 2:
        return told
    period_ns = period // timedelta(microseconds=1) * _MICROSECOND
    latency_ns = market.feed_latency_us * _MICROSECOND
    lots, distances = _depth(bars, lot, market)
    prices = _path(bars, market.path)
    # Just before the close, so that at no BAR any instrument's close is still to come.
    shares = [at / (prices.shape[1] - 1) for at in range(prices.shape[1] - 1)]
    offsets = np.array([int(share * period_ns) for share in shares] + [period_ns - latency_ns - _MICROSECOND])
    opens = told["time_exchange_ns"] - period_ns
    streams = [_trades(told, opens, offsets, prices, tick)]
    streams += [
        _books(opens[1:] + offset, prices[1:, at], lots[1:], distances[1:], tick, market)
        for at, offset in enumerate(offsets)
    ]
    streams.append(_ends(told["time_exchange_ns"][:-1], opens[1:]))
    events = np.concatenate(streams)
    events["instrument"] = instrument
    events["time_local_ns"] = events["time_exchange_ns"] + latency_ns
    events = np.concatenate([told, events])
    events = events[np.argsort(events["time_local_ns"], kind="stable")]
    market_data = events["kind"] != EventKind.BAR
    events["sequence"][market_data] = np.arange(1, market_data.sum() + 1, dtype=np.uint64)
    return events


def _path(bars: pl.DataFrame, path: Path) -> Floats:
    """The price at each point: one row a bar."""
    first, high, low, last = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
    if path == "open_close":
        return np.stack([first, last], axis=1)
    rose = last >= first
    return np.stack([first, np.where(rose, low, high), np.where(rose, high, low), last], axis=1)


def _depth(bars: pl.DataFrame, lot: float, market: BarMarket) -> tuple[Integers, Floats]:
    """Lots of each level, and its distance from the touch as a share of the price: one row a bar, not of its own data.

    Cumulative lots grow with the square of the distance. A step's lots stand at their mean distance, the first step's
    at the touch.
    """
    steps = np.arange(market.levels + 1) / market.levels
    volume = trailing_mean(bars["volume"].to_numpy() / lot, market.memory_bars)
    ranges = np.log(bars["high"].to_numpy() / bars["low"].to_numpy()) ** 2
    volatility = np.sqrt(trailing_mean(ranges, market.memory_bars) / (4 * math.log(2)))
    shown: Integers = np.rint(volume[:, None] * (market.depth_share * steps**2)).astype(np.int64)
    lots = shown[:, 1:] - shown[:, :-1]
    means = 2 / 3 * np.diff(steps**3) / np.diff(steps**2)
    means[0] = 0.0
    reach = market.impact * math.sqrt(market.depth_share)
    return lots, volatility[:, None] * (reach * means)


def trailing_mean(values: Floats, memory: int) -> Floats:
    """The mean of up to `memory` values before each one; 0 where there is none."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(len(values))
    begins = np.maximum(ends - memory, 0)
    means: Floats = (sums[ends] - sums[begins]) / np.maximum(ends - begins, 1)
    return np.maximum(means, 0.0)


def _books(
    times: Integers, prices: Floats, lots: Integers, distances: Floats, tick: float, market: BarMarket
) -> Events:
    """One whole book a row: a clear, bids, asks."""
    count, levels = lots.shape
    books = np.zeros((count, 1 + 2 * levels), EVENT)
    books["time_exchange_ns"] = times[:, None]
    books["flags"] = _BOTH | _SNAPSHOT
    books["flags"][:, -1] |= int(EventFlag.LAST)
    books["kind"], books["kind"][:, 0], books["side"][:, 0] = EventKind.LEVEL, EventKind.CLEAR, _NONE
    half = market.spread_bps / 20_000
    mids = prices / tick
    best = [np.floor(mids * (1 - half)).astype(np.int64), np.ceil(mids * (1 + half)).astype(np.int64)]
    best[1] = np.maximum(best[1], best[0] + 1)
    steps = np.rint(distances * mids[:, None]).astype(np.int64)
    places = np.arange(levels)
    steps = np.maximum.accumulate(steps - places, axis=1) + places  # No two levels at one price.
    for side in _SIDES:
        there = books[:, 1 + side * levels : 1 + (side + 1) * levels]
        there["side"] = side
        there["price"] = best[side][:, None] + (steps if side else -steps)
        there["size"] = lots
    flat: Events = books.reshape(-1)
    kept: Events = flat[(flat["price"] > 0) | (flat["kind"] == EventKind.CLEAR)]
    return kept


def _trades(told: Events, opens: Integers, offsets: Integers, prices: Floats, tick: float) -> Events:
    """Each bar's volume at the points after its open; what does not divide comes with the first of them."""
    legs = len(offsets) - 1
    trades = np.zeros((len(told), legs), EVENT)
    trades["time_exchange_ns"] = opens[:, None] + offsets[1:]
    trades["kind"], trades["side"], trades["flags"] = EventKind.TRADE, _NONE, _LAST
    trades["price"] = np.rint(prices[:, 1:] / tick).astype(np.int64)
    trades["size"] = (told["size"] // legs)[:, None]
    trades["size"][:, 0] += told["size"] % legs
    flat: Events = trades.reshape(-1)
    kept: Events = flat[flat["size"] > 0]
    return kept


def _ends(closes: Integers, opens: Integers) -> Events:
    """Where bars are missing the market is closed: the book is empty from the last close on."""
    closed = closes[opens > closes]
    events = np.zeros(len(closed), EVENT)
    events["time_exchange_ns"] = closed
    events["kind"], events["side"], events["flags"] = EventKind.CLEAR, _NONE, _LAST | _SNAPSHOT
    return events
