"""Walk-forward of 500 parameter sets on four pairs of 1 h bars: two processes, and two Celery workers, to the last bit.

The pairs and years are those of the recorded data; without it bars are made up, as many of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bench.rows import Row, bound_row, notes
from engine.research.executors import Executor, Here, Processes, Workers, make_research_app
from engine.research.study import MarketSettings, StudySettings, load_study
from engine.research.walkforward import WalkForward, run_walk_forward
from runtime.task_settings import TaskSettings
from tests.support.market_data import market_data_folder

ROOT = Path(__file__).parents[1]
MOST_S = 60.0
BARS = {"BTCUSDT": 52_106, "ETHUSDT": 52_106, "SOLUSDT": 23_988, "BNBUSDT": 23_988}


def run() -> list[Row]:
    """Measure both, and compare their results with those of one process."""
    with tempfile.TemporaryDirectory(prefix="capstan-bench-") as made:
        folder = Path(made)
        study = _study(folder)
        began = time.process_time()
        expected = run_walk_forward(study, ROOT, Here())
        cpu_s = time.process_time() - began
        pool = Processes(2)
        try:
            processes_s = _timed(study, pool, expected)
        finally:
            pool.close()
        workers_s = _on_workers(study, folder, expected)
    mine = expected.set_bars / cpu_s / 1e6
    notes.append(
        f"walk-forward: {len(expected.sets)} sets, {expected.set_bars:,} bars run, {cpu_s:.1f} s of one core "
        f"({mine:.0f} M bars a second, choosing and reading included); sha256 {expected.digest}"
    )
    name = "walk-forward, 4 pairs, 500 sets"
    return [
        bound_row(topic="research", name=f"{name}, 2 processes", ours=processes_s, unit="s", most=MOST_S),
        bound_row(topic="research", name=f"{name}, 2 Celery workers", ours=workers_s, unit="s", most=MOST_S),
    ]


def _timed(study: StudySettings, executor: Executor, expected: WalkForward) -> float:
    began = time.perf_counter()
    found = run_walk_forward(study, ROOT, executor)
    elapsed = time.perf_counter() - began
    if found.digest != expected.digest:
        raise RuntimeError(f"another result: {found.digest}, expected {expected.digest}")
    return elapsed


def _on_workers(study: StudySettings, folder: Path, expected: WalkForward) -> float:
    """Time two workers, their start included."""
    broker, name = folder / "broker", "research-bench"
    command = [sys.executable, "-m", "tests.engine.research.celery_worker", str(broker), name]
    workers = [subprocess.Popen(command, cwd=ROOT, start_new_session=True) for _ in range(2)]
    try:
        app = make_research_app(TaskSettings(namespace=name), broker)
        return _timed(study, Workers(app, patience_s=120.0), expected)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _study(folder: Path) -> StudySettings:
    """The example's study; over made-up bars where there is no recorded data."""
    study = load_study(ROOT / "examples" / "research" / "trend.toml")
    data = market_data_folder()
    if data is not None:
        os.environ["CAPSTAN_DATA"] = str(data.parent)
        return study
    notes.append("walk-forward: no recorded data here, bars are made up")
    markets = []
    for seed, (name, count) in enumerate(BARS.items()):
        path = folder / f"{name}.parquet"
        _make(path, count, seed)
        markets.append(MarketSettings(name=name, path=path))
    return study.model_copy(update={"markets": tuple(markets)})


def _make(path: Path, count: int, seed: int) -> None:
    close = 1_000 * np.exp(np.random.default_rng(seed).normal(0, 0.006, count).cumsum())
    opened = np.concatenate([[1_000.0], close[:-1]])
    begin = pl.datetime(2018, 1, 1)
    times = pl.datetime_range(begin, begin + pl.duration(hours=count - 1), "1h", eager=True)
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    volume = np.full(count, 1e4)
    columns = {"time": times, "open": opened, "high": high, "low": low, "close": close, "volume": volume}
    pl.DataFrame(columns).write_parquet(path)
