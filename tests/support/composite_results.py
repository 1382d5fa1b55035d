"""What composite orders came to on a recorded market, as a table: `python -m tests.support.composite_results`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from engine.backtest.config import BacktestConfig
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from tests.support.execution_costs import LIMITS, MARKETS
from tests.support.market_data import absence, load_recording, market_data_folder

MARKET: Final = "usdm_btcusdt"
ORDERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("stop-limit", {"name": "stop-limit", "stop": "5bps", "limit": "20bps"}),
    ("trailing", {"name": "trailing", "distance_bps": "5"}),
    ("oco", {"name": "oco", "limit": "-10bps", "stop": "+5bps"}),
    ("oto", {"name": "oto", "entry": "-2bps", "then": "+5bps"}),
    ("bracket", {"name": "bracket", "entry": "-2bps", "target": "+10bps", "stop": "-10bps"}),
    ("bracket, trailing", {"name": "bracket", "target": "+20bps", "trail_bps": "10"}),
)


def turned(order: dict[str, Any], side: str) -> dict[str, Any]:
    """The same order of a side: what is above for a buy is below for a sell."""
    signs = {"+": "-", "-": "+"}

    def turn(value: str) -> str:
        value = value if value[0] in signs or not value.endswith("bps") else f"+{value}"
        return signs[value[0]] + value[1:] if side == "sell" and value.endswith("bps") else value

    return {key: value if key == "name" else turn(value) for key, value in order.items()}


def execute(events: Any, side: str, order: dict[str, Any]) -> Any:
    """Run one order on the recording, 5 ms to the venue and 5 ms back."""
    name = f"binance:{MARKET}"
    config = BacktestConfig.model_validate(
        {
            "data": [{"kind": "store", "instrument": name, "path": "unused"}],
            "instruments": {name: {"base": "BTC", "quote": "USDT", "min_notional": "5", **MARKETS[MARKET]}},
            "strategies": [
                {"kind": "composite-order", "instrument": name, "side": side, "qty": "1", "order": turned(order, side)}
            ],
            "simulator": {"latency": {"order_us": 5_000, "answer_us": 5_000}, "queue": "power2"},
            "risk": LIMITS,
        }
    )  # fmt: skip
    return run_backtest(config, events, Path())


def main() -> None:
    """Print the table."""
    folder = market_data_folder()
    if folder is None:
        sys.exit(absence())
    events = load_recording(folder, MARKET).events
    print("| order | side | traded | first, s | last, s | fees, USDT | result, USDT | left, BTC |\n" + "|---" * 8 + "|")
    for title, order in ORDERS:
        for side in ("buy", "sell"):
            run = execute(events, side, order)
            told, fills = result_of(run), run.fills
            lots = [int(fills["size"][fills["side"] == way].sum()) / 1_000 for way in (0, 1)]
            times = ((fills["time_local_ns"] - run.began_ns) / 1e9).tolist()
            when = f"{times[0]:.1f} | {times[-1]:.1f}" if times else "– | –"
            pnl, left = told["pnl"], told["position_end"][f"binance:{MARKET}"]
            print(
                f"| {title} | {side} | {lots[0]:g} bought, {lots[1]:g} sold | {when} | {pnl['fees']:.2f}"
                f" | {pnl['net']:+.2f} | {left} |"
            )


if __name__ == "__main__":
    main()
