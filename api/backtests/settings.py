"""The section `[backtests]` of an installation: what people may have this machine compute."""

from __future__ import annotations

from pydantic import Field

from runtime import SettingsPart


class BacktestSettings(SettingsPart):
    """Backtests over the API. The command line is bound by none of this."""

    recordings: str = "market-data"
    """Folder of recordings that any organisation's backtest may read, below the data directory. Nothing else is."""
    slots: int = Field(default=1, ge=0, le=16)
    """Backtests at a time; 0 for none. One of the worker's tasks (`tasks.concurrency`) is always left for the rest."""
    waiting_max: int = Field(default=10, ge=1, le=1_000)
    """Of one organisation, waiting and running."""
    kept_max: int = Field(default=200, ge=1, le=100_000)
    """Of one organisation, all together: beyond it some have to be deleted first."""
    market_s_max: float = Field(default=86_400.0, gt=0)
    """Seconds of made-up market in one backtest."""
    bytes_max: int = Field(default=2 * 1024**3, gt=0)
    """Bytes of recordings that one backtest reads."""
    cpu_s_max: int = Field(default=900, ge=1, le=86_400)
    """Processor time of one backtest."""
    memory_mb_max: int = Field(default=8_192, ge=1_024)
    """Address space of one backtest."""
