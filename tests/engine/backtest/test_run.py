"""Backtests from a file: figures that agree with the fills, the same SHA-256 twice, mistakes in one line."""

from __future__ import annotations

import numpy as np
import pytest

from domain import InputError
from engine.backtest.config import load_config
from engine.backtest.data import load_events
from engine.backtest.ratios import sharpe
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from engine.backtest.tear_sheet import flat, write_tear_sheet
from engine.backtest.timing import time_strategy
from engine.data import StoredInstrument, write_store
from engine.records import EventFlag
from engine.research.statistics import drawdown
from tests.engine.sdk.runs import BTC, market
from tests.support.market_data import absence, market_data_folder

CONFIG = """
account = "USDT"
[[data]]
kind = "synthetic"
instrument = "sim:BTCUSDT"
seconds = 60
[instruments."sim:BTCUSDT"]
base = "BTC"
quote = "USDT"
contract = "linear"
tick_size = "0.1"
lot_size = "0.001"
maker_fee_bps = "1"
taker_fee_bps = "5"
[[strategies]]
kind = "quoting"
instrument = "sim:BTCUSDT"
qty = "0.01"
position_max = "0.2"
behind_ticks = 0
interval_ms = 10
[risk]
messages_per_second_max = 1000
executions_max = 60000
position_notional_max = 20000
exposure_notional_max = 50000
"""


def finished(folder, text=CONFIG, **files):
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    (folder / "run.toml").write_text(text)
    config = load_config(folder / "run.toml")
    return run_backtest(config, load_events(config, folder), folder)


def test_figures_agree_with_the_fills(tmp_path):
    run = finished(tmp_path)
    result = result_of(run)
    fills = run.fills
    assert result["fills"] == len(fills) > 50
    prices, lots = fills["price"] * 0.1, fills["size"] * 0.001
    signs = np.where(fills["side"] == 0, 1, -1)
    mark = run.samples[-1][4] / 2 * 0.1
    gross = (signs * lots).sum() * mark - (signs * lots * prices).sum()
    rate = np.where(fills["flags"] & EventFlag.MAKER, 1e-4, 5e-4)
    assert result["pnl"]["gross"] == pytest.approx(gross, abs=1e-6)
    assert result["pnl"]["fees"] == pytest.approx((lots * prices * rate).sum(), abs=1e-5)
    # The kernel's own books, in integers, say the same.
    assert result["pnl"]["net"] == pytest.approx(gross - result["pnl"]["fees"], abs=1e-5)
    assert result["pnl"]["funding"] == pytest.approx(0, abs=1e-5)
    assert result["pnl"]["by_strategy"]["quoting"] == result["pnl"]["net"]
    assert float(result["position_end"]["sim:BTCUSDT"]) == pytest.approx((signs * lots).sum(), abs=1e-9)
    assert 0 < result["fill_ratio"] <= 1


def test_same_file_gives_the_same_sha_and_python_the_same_as_native(tmp_path):
    first, again = finished(tmp_path), finished(tmp_path)
    python = finished(tmp_path, CONFIG.replace("behind_ticks = 0", "behind_ticks = 0\npython = true"))
    assert first.digest == again.digest == python.digest
    assert first.fills.tobytes() == python.fills.tobytes()


def test_own_class_beside_the_file_is_made_with_its_parameters(tmp_path):
    own = "from engine.sdk import Strategy\nclass Mine(Strategy):\n  def __init__(self, size): self.size = size\n"
    own += "  def on_book(self, ctx, book): ctx.quote(0, [(book.bid, self.size)], ())\n"
    a, b = CONFIG.index("[[strategies]]"), CONFIG.index("[risk]")
    text = (
        CONFIG[:a]
        + '[[strategies]]\nkind = "python"\nstrategy = "mine_here:Mine"\nparameters = {size = 3}\n'
        + CONFIG[b:]
    )
    run = finished(tmp_path, text, mine_here=own)
    assert set(run.commands[run.commands["kind"] == 1]["side"].tolist()) == {0}
    for wrong, message in (("mine_here:Other", "no subclass"), ("nowhere_at_all:Mine", "cannot import")):
        with pytest.raises(InputError, match=message):
            finished(tmp_path, text.replace("mine_here:Mine", wrong))
    with pytest.raises(InputError, match="not made by these parameters"):
        finished(tmp_path, text.replace("{size = 3}", "{sizes = 3}"))


def test_limits_of_the_file_are_the_gates(tmp_path):
    result = result_of(finished(tmp_path, CONFIG.replace("[risk]", "[risk]\norder_notional_max = 100")))
    assert result["fills"] == 0
    assert set(result["orders"]["rejected_by_rule"]) == {"order_notional"}


def test_store_of_a_made_market_is_read_back(tmp_path):
    events = market(60)
    write_store(tmp_path / "m.store", events, (StoredInstrument(0, "sim", "BTCUSDT", "0.1", "0.001"),))
    text = CONFIG.replace('kind = "synthetic"', 'kind = "store"\npath = "m.store"').replace("seconds = 60\n", "")
    run = finished(tmp_path, text)
    assert run.events == len(events)
    # The synthetic kind's defaults are the same market.
    assert run.digest == finished(tmp_path).digest


def test_faults_lose_and_repeat_but_break_nothing(tmp_path):
    faulty = CONFIG + "[simulator.faults]\nreport_lost_ppm = 20000\nduplicate_ppm = 100000\nrequest_lost_ppm = 20000\n"
    result = result_of(finished(tmp_path, faulty))
    assert result["fills"] > 0
    assert result["pnl"]["net"] == pytest.approx(result["pnl"]["gross"] - result["pnl"]["fees"], abs=1e-4)


def test_drawdown_is_below_the_peak_or_the_start():
    assert drawdown(np.array([-1.0, 2.0, 1.0, 3.0, -1.0])).tolist() == [1.0, 0.0, 1.0, 0.0, 4.0]


def test_sharpe_is_nothing_where_nothing_changes_or_minutes_only_and_has_the_sign_of_the_result():
    times = np.arange(100, dtype=np.int64) * 10**12
    assert sharpe(np.zeros(100), times) is None
    rising = np.cumsum(np.tile([2.0, -1.0], 50))
    assert sharpe(rising, times) > 0 > sharpe(-rising, times)
    assert sharpe(rising, times // 1000) is None


def test_tear_sheet_holds_the_figures(tmp_path):
    run = finished(tmp_path)
    result = result_of(run)
    write_tear_sheet(tmp_path / "t.html", run, result)
    page = (tmp_path / "t.html").read_text()
    assert result["sha256"] in page
    assert "sim:BTCUSDT: price and fills" in page
    assert all(name in page for name in flat(result))


def test_timing_runs_every_kind_and_both_quoting_ones_decide_alike():
    events = market(5)
    timings = {k: time_strategy(k, events, BTC) for k in ("native", "python", "every_event", "nothing")}
    assert timings["native"].digest == timings["python"].digest
    assert timings["native"].commands > 0 == timings["nothing"].commands
    assert all(t.events == len(events) for t in timings.values())


@pytest.mark.skipif(market_data_folder() is None, reason=absence())
@pytest.mark.parametrize("python", ["false", "true"])
def test_recorded_market_runs_and_python_decides_as_native(tmp_path, monkeypatch, python):
    monkeypatch.setenv("CAPSTAN_DATA", str(market_data_folder().parent))
    text = CONFIG.replace(
        'kind = "synthetic"\ninstrument = "sim:BTCUSDT"\nseconds = 60',
        'kind = "capture"\ninstrument = "sim:BTCUSDT"\nclock_shift_ms = 1280\n'
        'path = ["$CAPSTAN_DATA/market/binance_l2_20240808/usdm_btcusdt_20240808.gz"]',
    )
    model = "order_qty = 0.01\ninventory_max = 0.2\nrisk_aversion = 0.05\nvolatility_floor = 1\nhorizon_s = 1\n"
    text += f'[[strategies]]\nkind = "avellaneda-stoikov"\ninstrument = "sim:BTCUSDT"\npython = {python}\n{model}'
    run = finished(tmp_path, text.replace("interval_ms = 10", f"interval_ms = 10\npython = {python}"))
    assert run.events > 500_000
    assert len(run.fills) > 100
    assert run.digest == finished(tmp_path, text).digest
