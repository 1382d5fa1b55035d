"""The table of years on the grid's page: a grid begun each January on bars of an hour, with and without an exit.

python -m tests.support.grid_years
"""

from __future__ import annotations

from typing import Any, Final

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from tests.support.market_data import absence, market_data_folder

QTY: Final = {"BTC": "0.01", "ETH": "0.2"}
YEARS: Final = range(2018, 2024)
EXITS: Final = (None, "200")
ROOM: Final = {
    "order_notional_max": 10**6, "position_notional_max": 10**7, "exposure_notional_max": 10**8, "drawdown_max": 10**7,
    "messages_per_second_max": 500, "executions_max": 10_000, "price_collar_bps": 1_000, "book_age_ms_max": 10**9,
}  # fmt: skip


def year(base: str, begins: int, exit_bps: str | None) -> dict[str, Any]:
    """Run one grid: ±30 % around the first price, 50 cells, 10 bps of fees."""
    folder = market_data_folder()
    if folder is None:
        raise SystemExit(absence())
    name = f"binance:{base}USDT"
    config = BacktestConfig.model_validate(
        {
            "data": [
                {
                    "kind": "ohlcv", "instrument": name, "tradable": {},
                    "path": str(folder / "ohlcv" / f"binance_{base}USDT_1h_2017-2023.parquet"),
                    "since": f"{begins}-01-01", "until": f"{begins + 1}-01-01",
                }
            ],
            "instruments": {
                name: {
                    "base": base, "quote": "USDT", "contract": "linear", "tick_size": "0.01", "lot_size": "0.00001",
                    "maker_fee_bps": "10", "taker_fee_bps": "10",
                }
            },
            "strategies": [
                {
                    "kind": "grid", "instrument": name, "qty": QTY[base], "cells": 50, "width_bps": "3000",
                    "exit_bps": exit_bps,
                }
            ],
            "simulator": {"tick_ms": 0},
            "risk": ROOM,
        }
    )  # fmt: skip
    return result_of(run_backtest(config, load_events(config, folder), folder))


def main() -> None:
    print("| | waits: fills | traded | net | deepest drawdown | exits: fills | traded | net | deepest drawdown |")
    print("|---" * 9 + "|")
    for base in QTY:
        for begins in YEARS:
            cells = [f"{base} {begins}"]
            for exit_bps in EXITS:
                result = year(base, begins, exit_bps)
                cells += [
                    f"{result['fills']:,}",
                    f"{result['volume']:,.0f}",
                    f"{result['pnl']['net']:+,.0f}",
                    f"{result['drawdown_max']:,.0f}",
                ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
