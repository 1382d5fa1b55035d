"""A study over markets that swing, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl


def market(path, n=2_500, seed=5, period=60):
    """Bars that swing with a period: a moving average of about half of it earns, on top of noise."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(0.15 * np.sin(np.arange(n) * 2 * np.pi / period) + random.normal(0, 0.002, n).cumsum())
    open_ = np.concatenate([[100.0], close[:-1]])
    begin = pl.datetime(2022, 1, 1)
    times = pl.datetime_range(begin, begin + pl.duration(hours=n - 1), "1h", eager=True)
    high, low = np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995
    columns = {"time": times, "open": open_, "high": high, "low": low, "close": close, "volume": np.full(n, 1e5)}
    pl.DataFrame(columns).write_parquet(path)


STUDY = """
name = "t"
trials = 24
where = [["fast", "<", "slow"]]
[fixed]
kind = "moving-average"
[space]
fast = { low = 2, high = 40 }
slow = { low = 8, high = 300, log = true }
[[markets]]
name = "A"
path = "a.parquet"
[[markets]]
name = "B"
path = "b.parquet"
[walkforward]
train = 600
test = 200
purge = 10
embargo = 10
blocks = 6
"""


def write_study(folder: Path) -> Path:
    """Write the study and its two markets; return the study's path."""
    market(folder / "a.parquet")
    market(folder / "b.parquet", seed=6, n=2_000)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"
