"""The events of a backtest, from wherever its configuration says they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from domain import InputError
from engine.backtest.chain import add_chain
from engine.backtest.chain_settings import SyntheticPoolData
from engine.backtest.config import (
    BacktestConfig,
    CaptureData,
    FundingData,
    History,
    OhlcvData,
    ParquetData,
    StoreData,
    SyntheticData,
)
from engine.backtest.synthetic import synthesize
from engine.data import (
    BarMarket,
    CaptureFormat,
    bar_events,
    bar_market_events,
    funding_events,
    import_parquet,
    load_capture,
    merge,
    open_store,
    read_bars,
    read_funding,
)
from engine.data.captures import Events
from engine.data.paths import data_path
from engine.records import EventKind

MarketData = CaptureData | StoreData | ParquetData | OhlcvData | SyntheticData
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much is done and how much there is."""


def load_events(config: BacktestConfig, folder: Path, progress: Progress = lambda what, done, total: None) -> Events:
    """Load everything into one array in local time. Relative paths begin in `folder`.

    Raises:
        InputError: A file that is not there, is not what it should be, or has gaps in its sequence.
    """
    names = list(config.instruments)
    streams = [
        _load(item, names.index(item.instrument), config, folder, progress)
        for item in config.data
        if not isinstance(item, SyntheticPoolData | FundingData)
    ]
    marks = list(streams)
    streams += [
        _funding(item, names.index(item.instrument), marks, folder)
        for item in config.data
        if isinstance(item, FundingData)
    ]
    events = streams[0] if len(streams) == 1 else merge(streams)
    if not len(events):
        raise InputError("the data holds no events")
    return np.ascontiguousarray(add_chain(config, events))


def _load(item: MarketData, instrument: int, config: BacktestConfig, folder: Path, progress: Progress) -> Events:
    terms = config.instruments[item.instrument]
    match item:
        case SyntheticData():
            return synthesize(
                instrument=instrument,
                seconds=item.seconds,
                seed=item.seed,
                price=int(item.price / terms.tick_size),
                size=max(1, int(item.size / terms.lot_size)),
                feed_latency_us=item.feed_latency_us,
            )
        case CaptureData():
            form = CaptureFormat(
                item.instrument.partition(":")[2],
                _plain(terms.tick_size),
                _plain(terms.lot_size),
                item.clock_shift_ms * 1_000_000,
            )
            paths = [data_path(path, folder) for path in item.path]
            what = f"reading {item.instrument}"
            loaded = load_capture(
                paths, form, instrument=instrument, progress=lambda done, total: progress(what, done, total)
            )
            if loaded.sequence_errors:
                raise InputError(f"{paths[0]}: {loaded.sequence_errors} gaps in the sequence")
            return loaded.events
        case StoreData():
            return _numbered(open_store(data_path(item.path, folder)).events, instrument)
        case ParquetData():
            return _numbered(import_parquet(data_path(item.path, folder)), instrument)
        case OhlcvData():
            bars = _part(read_bars(data_path(item.path, folder), symbol=item.symbol), item)
            tick, lot = float(terms.tick_size), float(terms.lot_size)
            period = timedelta(minutes=item.period_minutes)
            if item.tradable is None:
                return bar_events(bars, instrument=instrument, tick=tick, lot=lot, period=period)
            market = BarMarket(**item.tradable.model_dump())
            return bar_market_events(bars, instrument=instrument, tick=tick, lot=lot, period=period, market=market)


def _funding(item: FundingData, instrument: int, streams: list[Events], folder: Path) -> Events:
    """Funding at the price last told: a mark, a bar's close, a trade."""
    rates = _part(read_funding(data_path(item.path, folder)), item)
    kinds = [EventKind.MARK, EventKind.BAR, EventKind.TRADE]
    told = [s[(s["instrument"] == instrument) & np.isin(s["kind"], kinds)] for s in streams]
    marks = merge(told)
    if not len(marks):
        raise InputError(f"{item.path}: nothing tells a price of {item.instrument} to fund at")
    events = funding_events(rates, instrument=instrument, marks=marks)
    return events[events["price"] > 0]  # Before the first price nothing can have been bought.


def _part(table: pl.DataFrame, item: History) -> pl.DataFrame:
    """The rows since and until the times asked for."""
    for bound, keeps in ((item.since, pl.col("time").__ge__), (item.until, pl.col("time").__lt__)):
        if bound is not None:
            table = table.filter(keeps(bound if bound.tzinfo else bound.replace(tzinfo=UTC)))
    if not table.height:
        raise InputError(f"{item.path}: no rows in the time asked for")
    return table


def _numbered(events: Events, instrument: int) -> Events:
    """The events of one instrument under its number in this run."""
    if (events["instrument"] == instrument).all():
        return events
    found = np.unique(events["instrument"])
    if len(found) > 1:
        raise InputError(f"the file holds {len(found)} instruments, expected one")
    events = events.copy()
    events["instrument"] = instrument
    return events


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
