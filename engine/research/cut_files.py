"""Backtests of a prefix: the events cut, and so the run's data files that a strategy's parameters name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from domain import InputError
from engine.backtest.config import BacktestConfig, PythonSettings
from engine.backtest.run import Finished, run_backtest
from engine.data import export_parquet, import_parquet, open_store, read_bars, write_store
from engine.data.captures import Events
from engine.data.paths import data_path


def run_prefix(config: BacktestConfig, events: Events, folder: Path) -> Finished:
    """Run a configuration over events that may be a part of its data: nothing later is there to be read."""
    with _cut(config, int(events["time_local_ns"][-1]), folder) as cut:
        return run_backtest(cut, events, folder)


@contextmanager
def _cut(config: BacktestConfig, end_ns: int, folder: Path) -> Iterator[BacktestConfig]:
    named = _named(config, folder)
    if not named:
        yield config
        return
    with TemporaryDirectory(prefix="capstan-prefix-") as made:
        copies = {str(path): str(_copy(item, path, Path(made), end_ns)) for path, item in named.items()}
        strategies = [
            item.model_copy(update={"parameters": _replaced(item.parameters, copies, folder)})
            if isinstance(item, PythonSettings)
            else item
            for item in config.strategies
        ]
        yield config.model_copy(update={"strategies": tuple(strategies)})


def _named(config: BacktestConfig, folder: Path) -> dict[Path, Any]:
    """Data files of the run that parameters of own strategies name."""
    texts = {
        (folder / value).resolve()
        for item in config.strategies
        if isinstance(item, PythonSettings)
        for value in item.parameters.values()
        if isinstance(value, str) and value
    }
    found = {}
    for item in config.data:
        paths = getattr(item, "path", ())
        for path in paths if isinstance(paths, tuple) else (paths,):
            place = data_path(path, folder).resolve()
            if place in texts:
                found[place] = item
    return found


def _replaced(parameters: Any, copies: dict[str, str], folder: Path) -> dict[str, Any]:
    return {
        name: copies.get(str((folder / value).resolve()), value) if isinstance(value, str) and value else value
        for name, value in parameters.items()
    }


def _copy(item: Any, path: Path, folder: Path, end_ns: int) -> Path:
    copy = folder / path.name
    match item.kind:
        case "store":
            store = open_store(path)
            write_store(copy, _until(store.events, end_ns), store.instruments)
        case "ohlcv":
            opened = pl.col("time").dt.epoch("ns") + item.period_minutes * 60_000_000_000
            bars = read_bars(path, symbol=item.symbol).filter(opened <= end_ns)
            copy = copy.with_suffix(".parquet")
            bars.write_parquet(copy)
        case "parquet":
            export_parquet(_until(import_parquet(path), end_ns), copy)
        case kind:
            raise InputError(
                f"a strategy reads {path.name}, data of kind {kind}, by itself: it cannot be cut for the check",
                hint="capstan data import makes a store of it",
            )
    return copy


def _until(events: Events, end_ns: int) -> Events:
    return np.ascontiguousarray(events[events["time_local_ns"] <= end_ns])
