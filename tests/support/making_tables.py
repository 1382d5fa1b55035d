"""The tables on the pages of strategies that make or take at the touch: one strategy, each recording, each fee.

    python -m tests.support.making_tables pure-market-making

The settings are those of `examples/backtest/KIND.toml`; sizes in base units are made about equal in value on ETH. Fees
change nothing that is decided, so the result at another fee is the same run with other costs.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from tests.support.market_data import RECORDINGS, absence, market_data_folder, recording_paths

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "backtest"
UP: Final = frozenset({"qty", "qty_step", "order_qty", "inventory_max", "position_max", "arrival_decay"})
DOWN: Final = frozenset({"volatility_floor"})
"""What is in base units (or per quote unit) is so many times larger where the price is smaller, and the other way."""
ETH_FOR_BTC: Final = 25
FEES: Final = {"maker_fee_bps": ("2", "0", "-0.5"), "taker_fee_bps": ("5", "2", "0")}
"""In basis points: Binance USD-M's list price, and what lies below it."""
TAKERS: Final = frozenset({"order-book-imbalance"})


def rows(kind: str, changes: dict[str, Any]) -> Iterator[str]:
    """Run a kind on each recording of a linear or spot market, and give the table's rows."""
    folder = market_data_folder()
    if folder is None:
        raise SystemExit(absence())
    example = tomllib.loads((EXAMPLES / f"{kind}.toml").read_text(encoding="utf-8"))
    strategy = {**example["strategies"][0], **changes}
    for name in ("usdm_btcusdt", "spot_btcusdt", "spot_ethusdt"):
        recording = RECORDINGS[name]
        symbol, instrument = recording.form.symbol, f"{recording.venue}:{recording.form.symbol}"
        scale = ETH_FOR_BTC if symbol.startswith("ETH") else 1
        scaled = {
            key: str(float(value) * (scale if key in UP else 1 / scale)) if key in UP | DOWN else value
            for key, value in strategy.items()
        }
        nets: list[str] = []
        paid = "taker_fee_bps" if kind in TAKERS else "maker_fee_bps"
        for fee in FEES[paid]:
            terms = {
                "base": symbol.removesuffix("USDT"),
                "quote": "USDT",
                "contract": "linear",
                "tick_size": recording.form.tick_size,
                "lot_size": recording.form.lot_size,
                "maker_fee_bps": "2",
                "taker_fee_bps": "5",
                paid: fee,
            }
            data = {
                "kind": "capture",
                "instrument": instrument,
                "path": [str(path) for path in recording_paths(folder, name)],
                "clock_shift_ms": 1280,
            }
            config = BacktestConfig.model_validate(
                {
                    **example,
                    "data": [data],
                    "instruments": {instrument: terms},
                    "strategies": [{**scaled, "instrument": instrument}],
                }
            )
            result = result_of(run_backtest(config, load_events(config, folder), folder))
            nets.append(f"{result['pnl']['net']:+.2f}")
        traded, gross = result["volume"], result["pnl"]["gross"]
        edge = f"{gross / traded * 1e4:+.2f} bps" if traded else "–"
        seconds = result["seconds_market"]
        yield (
            f"| {recording.venue} {symbol}, {seconds:.0f} s | {result['fills']} | {traded:,.0f} | {edge} | "
            + " | ".join(nets)
            + " |"
        )


def main() -> None:
    kind, *changed = sys.argv[1:]
    changes = dict(pair.split("=", 1) for pair in changed)
    fees = FEES["taker_fee_bps" if kind in TAKERS else "maker_fee_bps"]
    columns = ["recording", "fills", "traded", "per traded, before fees", *(f"net at {fee} bps" for fee in fees)]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for row in rows(kind, changes):
        print(row, flush=True)


if __name__ == "__main__":
    main()
