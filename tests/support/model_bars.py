"""Bars made up for tests of models: a random walk whose moves carry on a little, so that one can learn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engine.data import bar_events
from engine.data.captures import Events
from engine.models.settings import (
    BarsSource,
    GradientBoostingSettings,
    LabelSettings,
    ModelSettings,
    RandomForestSettings,
    TrainSettings,
)

BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FOREST = RandomForestSettings(trees=20, depth_max=4, leaf_min=30)
BOOSTING = GradientBoostingSettings(rounds=20, learning_rate=0.1, leaf_min=50)


def table(
    count: int = 1_500, *, seed: int = 1, carry: float = 0.6, volatility: float = 0.005, period_minutes: int = 60
) -> pl.DataFrame:
    """Bars as a history file has them; `carry` of the mean move of the last twelve goes on."""
    draw = np.random.Generator(np.random.PCG64(seed))
    noise, moves = draw.normal(0.0, volatility, count), np.zeros(count)
    for at in range(count):
        moves[at] = noise[at] + carry * (moves[max(0, at - 12) : at].mean() if at else 0.0)
    close = np.round(20_000.0 * np.cumprod(1.0 + moves), 2)
    opened = np.round(np.concatenate([[20_000.0], close[:-1]]), 2)
    stretch = np.abs(draw.normal(0.0, volatility / 2, (2, count)))
    return pl.DataFrame(
        {
            "date": [BEGIN + at * timedelta(minutes=period_minutes) for at in range(count)],
            "open": opened,
            "high": np.round(np.maximum(opened, close) * (1.0 + stretch[0]), 2),
            "low": np.round(np.minimum(opened, close) * (1.0 - stretch[1]), 2),
            "close": close,
            "volume": np.round(draw.lognormal(3.0, 0.5, count), 3),
        }
    )


def bars(count: int = 1_500, *, seed: int = 1, carry: float = 0.6) -> Events:
    """The same as the records that strategies are told."""
    frame = table(count, seed=seed, carry=carry).rename({"date": "time"})
    return bar_events(frame, instrument=0, tick=0.01, lot=0.001, period=HOUR)


def settings(model: ModelSettings = FOREST, *, name: str = "tried", test_from: int = 1_100) -> TrainSettings:
    """What trains a small model on such bars in about a second."""
    return TrainSettings(
        name=name,
        data=(BarsSource.model_validate(source(Path("bars.parquet"))),),
        model=model,
        label=LabelSettings(horizon_bars=6),
        test_from=BEGIN + test_from * HOUR,
        folds=2,
        embargo_bars=24,
    )


def source(path: Path) -> dict[str, str]:
    """How a configuration names such bars."""
    return {"instrument": "sim:BTCUSDT", "path": str(path), "tick_size": "0.01", "lot_size": "0.001"}
