"""OHLCV and funding histories: tables to a common form, and to event records.

The tables are floats, as their sources wrote them: good for research, never for money. Records are made on a tick and a
lot, to the nearest one.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from domain import InputError
from engine.data.captures import Events
from engine.records import EVENT, EventFlag, EventKind

_PRICES: Final = ("open", "high", "low", "close")
_SIDE_NONE: Final = 255
_NOW: Final = int(EventFlag.LAST | EventFlag.EXCHANGE | EventFlag.LOCAL)
_RATE_UNITS: Final = 10**12


def read_bars(path: Path, *, symbol: str = "") -> pl.DataFrame:
    """Read a history as columns `time` (UTC, when the bar opened), open, high, low, close, volume, oldest first.

    Takes Parquet, Feather and CSV (also gzipped), with the columns that public data sets use; `symbol` picks a group of
    columns such as `BTC:open` from a table of several. Rows without prices are left out.

    Raises:
        InputError: Not a table of bars, or one that contradicts itself (times twice, a high below the low).
    """
    frame = _read_table(path)
    if symbol:
        ours = {name: name.partition(":")[2] for name in frame.columns if name.startswith(f"{symbol}:")}
        if not ours:
            raise InputError(f"{path} has no columns of {symbol}")
        frame = frame.select(frame.columns[0], *ours).rename(ours)
    frame = frame.rename({name: name.lower() for name in frame.columns if name != name.lower()})
    missing = [name for name in (*_PRICES, "volume") if name not in frame.columns]
    if missing:
        raise InputError(f"{path}: no columns {', '.join(missing)}; there are {', '.join(frame.columns)}")
    bars = frame.select(_times(frame, path), *(pl.col(name).cast(pl.Float64) for name in (*_PRICES, "volume")))
    bars = bars.drop_nulls().sort("time")
    if bars["time"].is_duplicated().any():
        raise InputError(f"{path}: two bars open at {bars.filter(pl.col('time').is_duplicated())['time'][0]}")
    wrong = bars.filter(
        (pl.col("high") < pl.max_horizontal("open", "close", "low"))
        | (pl.col("low") > pl.min_horizontal("open", "close"))
    )
    if wrong.height:
        raise InputError(f"{path}: high and low do not contain the bar that opens at {wrong['time'][0]}")
    return bars


def read_funding(path: Path) -> pl.DataFrame:
    """Read a history of funding as columns `time` (UTC) and `rate`, oldest first.

    Takes tables with a column `rate`, and candle tables that carry it in `open`.

    Raises:
        InputError: No such table.
    """
    frame = _read_table(path)
    rate = "rate" if "rate" in frame.columns else "open"
    if rate not in frame.columns:
        raise InputError(f"{path}: no column rate or open; there are {', '.join(frame.columns)}")
    return frame.select(_times(frame, path), pl.col(rate).cast(pl.Float64).alias("rate")).drop_nulls().sort("time")


def bar_events(bars: pl.DataFrame, *, instrument: int, tick: float, lot: float, period: timedelta) -> Events:
    """Make BAR records that happen when the bars close; see `Kind::Bar` for the fields."""
    events = np.zeros(bars.height, EVENT)
    ticks = {name: np.rint(bars[name].to_numpy() / tick).astype(np.int64) for name in _PRICES}
    events["time_exchange_ns"] = events["time_local_ns"] = (
        _nanoseconds(bars) + period // timedelta(microseconds=1) * 1000
    )
    events["instrument"], events["kind"], events["side"], events["flags"] = instrument, EventKind.BAR, _SIDE_NONE, _NOW
    events["price"], events["size"] = ticks["close"], np.rint(bars["volume"].to_numpy() / lot).astype(np.int64)
    events["sequence"] = ticks["low"].astype(np.uint64)
    events["aux"][:, 0], events["aux"][:, 1] = ticks["open"], ticks["high"]
    return events


def funding_events(funding: pl.DataFrame, *, instrument: int, marks: Events | None = None) -> Events:
    """Make FUNDING records; each takes the price of the last of `marks` (BAR or MARK records) at that time, else 0."""
    events = np.zeros(funding.height, EVENT)
    times = _nanoseconds(funding)
    events["time_exchange_ns"] = events["time_local_ns"] = times
    events["instrument"], events["kind"], events["side"] = instrument, EventKind.FUNDING, _SIDE_NONE
    events["flags"] = _NOW
    events["aux"][:, 0] = np.rint(funding["rate"].to_numpy() * _RATE_UNITS).astype(np.int64)
    if marks is not None and len(marks):
        at = np.searchsorted(marks["time_local_ns"], times, side="right") - 1
        events["price"] = np.where(at >= 0, marks["price"][np.maximum(at, 0)], 0)
    return events


def _nanoseconds(frame: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return frame["time"].dt.epoch("ns").to_numpy()


def _read_table(path: Path) -> pl.DataFrame:
    try:
        match path.suffixes[-1:]:
            case [".parquet"]:
                return pl.read_parquet(path)
            case [".feather"] | [".arrow"]:
                return pl.read_ipc(path)
            case _:
                return pl.read_csv(path, comment_prefix="Timestamps", infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc


def _times(frame: pl.DataFrame, path: Path) -> pl.Expr:
    """The column of times, in UTC microseconds."""
    for name in ("date", "Date", "time", "timestamp", ""):
        if name in frame.columns:
            break
    else:
        raise InputError(f"{path}: no column date or time; there are {', '.join(frame.columns)}")
    column, kind = pl.col(name), frame.schema[name]
    if kind == pl.Int64:
        times = pl.from_epoch(column, "s")
    elif kind == pl.String:
        text = column.str.replace(r" (\d\d)-([AP]M)$", " ${1}:00 ${2}")  # "09-AM": an hour alone is no time to polars.
        forms = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %I:%M %p")
        moments = [text.str.to_datetime(form, strict=False, time_unit="us") for form in forms]
        times = pl.coalesce(*moments, text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        times = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    else:
        times = column.cast(pl.Datetime("us"))
    return times.dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias("time")
