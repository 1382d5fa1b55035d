"""What the execution algorithms cost on the recorded markets, as a table: `python -m tests.support.execution_costs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.backtest.config import BacktestConfig
from engine.backtest.run import run_backtest
from engine.data import read_bars
from engine.execution import ExecutionReport
from engine.strategies.execute import Execute
from tests.support.market_data import absence, load_recording, market_data_folder

LIMITS: Final = {
    "order_notional_max": 10**7, "position_notional_max": 10**8, "exposure_notional_max": 10**8,
    "messages_per_second_max": 100, "executions_max": 60_000, "drawdown_max": 10**6,
}  # fmt: skip
MARKETS: Final[dict[str, dict[str, Any]]] = {
    # Fees of an account without volume: Binance spot 10 bps each way, USD-M 2 and 5.
    "spot_btcusdt": {"tick_size": "0.01", "lot_size": "0.00001", "maker_fee_bps": "10", "taker_fee_bps": "10"},
    "usdm_btcusdt": {
        "tick_size": "0.1", "lot_size": "0.001", "maker_fee_bps": "2", "taker_fee_bps": "5", "contract": "linear",
    },
}  # fmt: skip
SPANS: Final = {"spot_btcusdt": (45, 600), "usdm_btcusdt": (15, 300)}
"""When an order begins and how long it takes, in seconds: within what was recorded."""


def curve_before(folder: Path, parts: tuple[str, ...], end: date) -> list[str]:
    """Mean volume of five-minute bars at times of the day, of the days before one: nothing of the future."""
    bars = read_bars(folder / "ohlcv" / "binance_BTCUSDT_5m_2024.feather")
    bars = bars.filter(pl.col("time") < datetime(end.year, end.month, end.day, tzinfo=UTC))
    at = bars.with_columns(pl.col("time").dt.strftime("%H:%M").alias("at")).group_by("at").agg(pl.col("volume").mean())
    means = dict(at.iter_rows())
    return [f"{means[part]:.2f}" for part in parts]


def algorithms(market: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and settings of each, over one span."""
    _, duration_s = SPANS[market]
    paced = {"duration_s": duration_s, "every_s": 10}
    yield "at once", {"name": "twap", "duration_s": 2, "every_s": 2, "style": "cross", "cross_bps": 50}
    yield "twap", {"name": "twap", **paced}
    yield "twap, crossing", {"name": "twap", **paced, "style": "cross"}
    if market == "spot_btcusdt":
        # 23:55 to 00:05: two five-minute bars.
        yield "vwap", {"name": "vwap", **paced, "curve": curve_before(folder, ("23:55", "00:00"), date(2024, 8, 8))}
    model = {"risk_aversion": "1e-6", "volatility": "8", "impact": "0.64"}
    yield "shortfall", {"name": "shortfall", **paced, **model}
    yield "pov 5 %", {"name": "pov", **paced, "share": "0.05"}
    yield "iceberg", {"name": "iceberg", "show": "0.1", "duration_s": duration_s}


def execute(
    market: str, events: Any, side: str, qty: str, algorithm: dict[str, Any]
) -> tuple[Execute, ExecutionReport]:
    """Run one order on a recording, 5 ms to the venue and 5 ms back."""
    name = f"binance:{market}"
    config = BacktestConfig.model_validate(
        {
            "data": [{"kind": "store", "instrument": name, "path": "unused"}],
            "instruments": {name: {"base": "BTC", "quote": "USDT", "min_notional": "5", **MARKETS[market]}},
            "strategies": [
                {"kind": "execute", "instrument": name, "side": side, "qty": qty, "algorithm": algorithm,
                 "start_s": SPANS[market][0]}
            ],
            "simulator": {"latency": {"order_us": 5_000, "answer_us": 5_000}, "queue": "power2"},
            "risk": LIMITS,
        }
    )  # fmt: skip
    finished = run_backtest(config, events, Path())
    [strategy] = finished.strategies
    assert isinstance(strategy, Execute)
    return strategy, strategy.report(finished.ended_ns)


def main() -> None:
    """Print the tables."""
    folder = market_data_folder()
    if folder is None:
        sys.exit(absence())
    for market, qty in (("spot_btcusdt", "10"), ("usdm_btcusdt", "20")):
        events = load_recording(folder, market).events
        print(f"\n{market}, {qty} BTC, {SPANS[market][1]} s\n")
        print(
            "| algorithm | side | filled | made | against arrival, bps | against VWAP, bps | fees, bps | all, bps"
            " | of volume | slice | ahead | behind |"
        )
        print("|" + "---|" * 12)
        for title, algorithm in algorithms(market, folder):
            for side in ("buy", "sell"):
                _, told = execute(market, events, side, qty, algorithm)
                print(row(title, told))


def row(title: str, told: ExecutionReport) -> str:
    """One line of the table."""

    def bps(value: float | None) -> str:
        return "–" if value is None else f"{Decimal(value):+.2f}"

    slice_max = "–" if told.slice_max is None else f"{told.slice_max:.3f}"
    deviations = ("–", "–") if told.slice_max is None else (f"{told.ahead_max:.3f}", f"{told.behind_max:.3f}")
    return (
        f"| {title} | {told.side} | {told.filled / told.qty:.0%} | {told.maker_share:.0%} | {bps(told.shortfall_bps)}"
        f" | {bps(told.vwap_bps)} | {bps(told.fees_bps)} | {bps(told.shortfall_total_bps)}"
        f" | {told.participation or 0:.1%} | {slice_max} | {deviations[0]} | {deviations[1]} |"
    )


if __name__ == "__main__":
    main()
