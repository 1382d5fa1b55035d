"""Backtests on bars: orders trade at the next open, costs grow with size, funding is paid, on made-up and real data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import InputError
from engine.backtest.config import load_config
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import Finished, run_backtest
from tests.support.market_data import absence, market_data_folder

STRATEGY = """
from engine.sdk import Strategy

class BuysOnceSellsLater(Strategy):
    def __init__(self, lots, bars=6):
        super().__init__("s")
        self.lots, self.bars, self.seen = lots, bars, 0

    def on_bar(self, ctx, event):
        self.seen += 1
        book = ctx.book(event.instrument)
        if self.seen == 10:
            ctx.take(event.instrument, 0, book.ask * 102 // 100, self.lots)
        if self.seen == 10 + self.bars:
            ctx.take(event.instrument, 1, book.bid * 98 // 100, ctx.position(event.instrument))
"""
CONFIG = """
[[data]]
kind = "ohlcv"
instrument = "sim:XUSDT"
path = "bars.csv"
tradable = { spread_bps = 4, levels = 8 }
[instruments."sim:XUSDT"]
base = "X"
quote = "USDT"
contract = "linear"
tick_size = "0.01"
lot_size = "0.001"
taker_fee_bps = "5"
[[strategies]]
kind = "python"
strategy = "STEM:BuysOnceSellsLater"
parameters = { lots = 1000 }
[risk]
order_notional_max = 10000000
position_notional_max = 10000000
exposure_notional_max = 10000000
price_collar_bps = 500
drawdown_max = 1000000
"""
FUNDING = """
[[data]]
kind = "funding"
instrument = "sim:XUSDT"
path = "funding.csv"
"""


def write_bars(folder: Path, count: int = 60) -> pl.DataFrame:
    random = np.random.Generator(np.random.PCG64(3))
    last = 100 * np.exp(np.cumsum(random.normal(0, 0.003, count)))
    first = np.concatenate([[100.0], last[:-1] * 1.0005])  # Opens a little above the close before.
    table = pl.DataFrame(
        {
            "time": [datetime(2024, 1, 2, tzinfo=UTC) + timedelta(hours=at) for at in range(count)],
            "open": first,
            "high": np.maximum(first, last) * 1.002,
            "low": np.minimum(first, last) * 0.998,
            "close": last,
            "volume": np.full(count, 1_000.0),
        }
    )
    table.with_columns(pl.col("time").dt.epoch("s")).write_csv(folder / "bars.csv")
    return table


def finished(folder: Path, text: str = CONFIG) -> Finished:
    # Modules are cached by name: a folder's own has a name of its own.
    stem = f"bars_{folder.name}"
    (folder / f"{stem}.py").write_text(STRATEGY)
    (folder / "run.toml").write_text(text.replace("STEM", stem))
    config = load_config(folder / "run.toml")
    return run_backtest(config, load_events(config, folder), folder)


def test_what_is_decided_at_a_close_trades_at_the_next_open(tmp_path: Path) -> None:
    table = write_bars(tmp_path)
    run = finished(tmp_path)
    assert run.fills["side"].tolist() == [0, 1]
    for fill, bar, sign in zip(run.fills, (10, 16), (1, -1), strict=True):
        first = table["open"][bar]
        assert fill["price"] * 0.01 == pytest.approx(first * (1 + sign * 2e-4), abs=0.011)
        opened = int(table["time"][bar].timestamp()) * 10**9
        assert opened < fill["time_exchange_ns"] < opened + 10**9
    assert run.config.tick_ms == 3_600_000
    result = result_of(run)
    assert result["pnl"]["net"] == pytest.approx(result["pnl"]["gross"] - result["pnl"]["fees"], abs=1e-5)


def test_size_costs_more_and_what_is_not_there_is_not_filled(tmp_path: Path) -> None:
    write_bars(tmp_path)
    costs = []
    for lots in (1_000, 20_000, 90_000, 500_000):  # 1, 20, 90 and 500 of the 1,000 that trade in a bar.
        run = finished(tmp_path, CONFIG.replace("lots = 1000", f"lots = {lots}"))
        bought = run.fills[run.fills["side"] == 0]
        filled = int(bought["size"].sum())
        assert filled == min(lots, 100_000)
        costs.append(float((bought["price"] * bought["size"]).sum() / filled))
    assert costs == sorted(set(costs))


def test_funding_is_paid_at_the_last_price(tmp_path: Path) -> None:
    table = write_bars(tmp_path)
    times = [int(table["time"][at].timestamp()) for at in (0, 8, 13, 40)]  # Only the third finds a position.
    pl.DataFrame({"time": times, "rate": [0.01, 0.01, 0.001, 0.01]}).write_csv(tmp_path / "funding.csv")
    result = result_of(finished(tmp_path, CONFIG + FUNDING))
    mark = round(table["close"][12], 2)
    assert result["pnl"]["funding"] == pytest.approx(-0.001 * mark, abs=2e-5)


def test_funding_of_spot_or_without_a_price_is_refused(tmp_path: Path) -> None:
    write_bars(tmp_path)
    (tmp_path / "funding.csv").write_text("time,rate\n1704164400,0.1\n")
    with pytest.raises(InputError, match="spot"):
        finished(tmp_path, CONFIG.replace('contract = "linear"', "") + FUNDING)
    other = CONFIG[CONFIG.index("[instruments") : CONFIG.index("[[strategies]]")].replace("XUSDT", "YUSDT")
    with pytest.raises(InputError, match="nothing tells a price of sim:YUSDT"):
        finished(tmp_path, CONFIG + other + FUNDING.replace("XUSDT", "YUSDT"))


def test_a_part_of_a_file_is_taken(tmp_path: Path) -> None:
    write_bars(tmp_path)
    part = 'path = "bars.csv"\nsince = 2024-01-02T10:00:00Z\nuntil = "2024-01-03"\n'
    run = finished(tmp_path, CONFIG.replace('path = "bars.csv"\n', part))
    since_ns = int(datetime(2024, 1, 2, 10, tzinfo=UTC).timestamp()) * 10**9
    assert since_ns < run.began_ns < since_ns + 3_600 * 10**9
    assert run.ended_ns == int(datetime(2024, 1, 3, tzinfo=UTC).timestamp()) * 10**9
    with pytest.raises(InputError, match="no rows"):
        finished(tmp_path, CONFIG.replace('path = "bars.csv"\n', 'path = "bars.csv"\nsince = "2030-01-01"\n'))


def test_bars_without_a_book_trade_nothing(tmp_path: Path) -> None:
    write_bars(tmp_path)
    run = finished(tmp_path, CONFIG.replace("tradable = { spread_bps = 4, levels = 8 }\n", ""))
    assert not len(run.fills)


@pytest.mark.skipif(market_data_folder() is None, reason=absence())
def test_recorded_perpetual_with_its_funding_trades(tmp_path: Path) -> None:
    folder = market_data_folder()
    assert folder is not None
    history = folder / "ohlcv"
    text = CONFIG.replace("bars.csv", str(history / "binance_usdm_ETHUSDT_1h-futures.feather"))
    text = text.replace("lots = 1000", "lots = 1000, bars = 500")
    funding = FUNDING.replace("funding.csv", str(history / "binance_usdm_ETHUSDT_8h-funding_rate.feather"))
    text = (text + funding).replace('.feather"\n', '.feather"\nsince = "2023-02-01"\nuntil = "2023-03-01"\n')
    result = result_of(finished(tmp_path, text))
    assert result["fills"] >= 2
    assert result["pnl"]["funding"] < 0  # Longs paid in that month.
