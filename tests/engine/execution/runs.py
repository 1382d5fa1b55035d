"""One parent order on a small synthetic market."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.run import Finished, run_backtest

INSTRUMENT = "sim:BTCUSDT"
LIMITS = {
    "messages_per_second_max": 1_000, "executions_max": 60_000, "position_notional_max": 10**7,
    "exposure_notional_max": 10**7, "order_notional_max": 10**6,
}  # fmt: skip


def config(strategy: dict[str, Any], *, seconds: float = 60, seed: int = 7, **risk: Any) -> BacktestConfig:
    return BacktestConfig.model_validate(
        {
            "data": [{"kind": "synthetic", "instrument": INSTRUMENT, "seconds": seconds, "seed": seed}],
            "instruments": {
                INSTRUMENT: {
                    "base": "BTC", "quote": "USDT", "contract": "linear", "tick_size": "0.1", "lot_size": "0.001",
                    "maker_fee_bps": "1", "taker_fee_bps": "5", "min_notional": "5",
                }
            },
            "strategies": [{"instrument": INSTRUMENT, **strategy}],
            "risk": {**LIMITS, **risk},
        }
    )  # fmt: skip


@cache
def _events(seconds: float, seed: int) -> Any:
    some = {"kind": "quoting", "qty": "1", "position_max": "1"}
    return load_events(config(some, seconds=seconds, seed=seed), Path())


def run(strategy: dict[str, Any], *, seconds: float = 60, seed: int = 7, **risk: Any) -> Finished:
    """Run a strategy of the catalog to the end of the market."""
    return run_backtest(config(strategy, seconds=seconds, seed=seed, **risk), _events(seconds, seed), Path())


def events_of(seconds: float = 60, seed: int = 7) -> Any:
    return _events(seconds, seed)
