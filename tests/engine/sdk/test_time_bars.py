"""Bars built from public trades: against an oracle, the same in backtests as live, over snapshots and restarts."""

from __future__ import annotations

import capstan_native as native
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import InputError
from domain import events as e
from engine.backtest.config import BacktestConfig
from engine.backtest.run import run_backtest
from engine.records import EVENT, EventKind
from engine.sdk import Strategy
from engine.sdk.run import engine_config
from engine.sdk.time_bars import FLAT_BARS_MAX, TimeBar, TimeBars
from tests.engine.markets import ETHUSDC, SECOND, native_kernel, timer
from tests.engine.sdk.runs import BTC, VENUE, market, run

EVERY = SECOND


class Watching(Strategy):
    """Keeps bars and trades as it is told them, in order."""

    bar_interval_ns = EVERY
    trades_interval_ns = EVERY // 3

    def __init__(self):
        super().__init__("w")
        self.bars, self.trades, self.order = [], [], []

    def on_bar(self, ctx, event):
        assert event.kind == EventKind.BAR
        self.order.append("bar")
        told = (event.time_exchange_ns, event.aux0, event.aux1, event.sequence, event.price, event.size)
        self.bars.append(TimeBar(*told))

    def on_trades(self, ctx, trades):
        assert trades.dtype == EVENT
        self.order.append("trades")
        self.trades.append(trades.copy())


def oracle(rows, every, until_ns):
    """Bars of (time, price, size) the plain way: group by interval, fill what is between, leave the first out."""
    if not rows:
        return []
    first, bars = rows[0][0] // every, []
    close = rows[0][1]
    for at in range(first, until_ns // every):
        inside = [(price, size) for time, price, size in rows if time // every == at]
        prices = [price for price, _ in inside] or [close]
        bar = TimeBar((at + 1) * every, prices[0], max(prices), min(prices), prices[-1], sum(s for _, s in inside))
        close = bar.close
        bars.append(bar)
    return bars[1:]


steps = st.tuples(st.integers(0, 35), st.integers(1, 60), st.integers(1, 9), st.booleans())


@given(st.lists(steps, max_size=40), st.integers(0, 10**9))
def test_bars_are_those_of_an_oracle(drawn, start):
    bars, told, rows, now = TimeBars(10), [], [], start
    for wait, price, size, is_trade in drawn:
        now += wait
        told += bars.over(now)
        if is_trade:
            bars.trade(now, price, size)
            rows.append((now, price, size))
    assert told == oracle(rows, 10, now)


def test_too_long_without_a_trade_begins_anew():
    bars = TimeBars(10)
    bars.trade(5, 50, 1)
    list(bars.over(12))
    bars.trade(12, 51, 2)
    late = (FLAT_BARS_MAX + 10) * 10
    assert list(bars.over(late)) == [TimeBar(20, 51, 51, 51, 51, 2)]
    bars.trade(late, 60, 1)
    assert list(bars.over(late + 10)) == []
    bars.trade(late + 11, 61, 1)
    assert list(bars.over(late + 20)) == [TimeBar(late + 20, 61, 61, 61, 61, 1)]


def test_restart_tells_the_bar_that_was_open_and_leaves_out_what_nobody_saw():
    bars = TimeBars(10)
    bars.trade(5, 50, 1)
    list(bars.over(11))
    bars.trade(12, 51, 2)
    bars.resume(47)
    assert list(bars.over(47)) == [TimeBar(20, 51, 51, 51, 51, 2)]
    bars.trade(48, 55, 3)
    assert list(bars.over(50)) == [TimeBar(50, 55, 55, 55, 55, 3)]
    bars.resume(53)
    assert list(bars.over(60)) == [TimeBar(60, 55, 55, 55, 55, 0)]


def printed(record, shift_ns=0):
    return e.TradePrinted(
        time_ns=int(record["time_local_ns"]) + shift_ns,
        instrument=ETHUSDC.id,
        price_ticks=int(record["price"]),
        qty_lots=int(record["size"]),
        is_buyer_maker=record["side"] == 1,
    )


def test_backtest_and_live_tell_the_same_bars_and_the_same_batches_of_trades():
    events, back, live = market(12), Watching(), Watching()
    run(back, events)
    kernel = native_kernel(live)
    for record in events[events["kind"] == EventKind.TRADE]:
        kernel.step(printed(record))
    assert len(back.bars) >= 10
    assert live.bars == back.bars
    assert live.order == back.order
    assert len(live.trades) == len(back.trades)
    for ours, theirs in zip(live.trades, back.trades, strict=True):
        for name in ("time_local_ns", "instrument", "kind", "side", "price", "size"):
            assert np.array_equal(ours[name], theirs[name])


def test_ticks_end_bars_where_nobody_trades():
    live = Watching()
    kernel = native_kernel(live)
    trade = {"time_local_ns": 10 * SECOND + 5, "price": 300_000, "size": 3, "side": 0}
    kernel.step(printed(trade))
    kernel.step(timer(11 * SECOND - 1))
    kernel.step(timer(11 * SECOND))
    kernel.step(timer(12 * SECOND + 7))
    assert live.bars == [TimeBar(12 * SECOND, 300_000, 300_000, 300_000, 300_000, 0)]


def test_restart_of_the_engine_is_seen():
    live = Watching()
    kernel = native_kernel(live)
    trade = {"time_local_ns": 10 * SECOND, "price": 300_000, "size": 3, "side": 1}
    kernel.step(printed(trade))
    kernel.step(timer(11 * SECOND))
    kernel.step(e.EngineRestarted(time_ns=60 * SECOND, epoch=1))
    kernel.step(timer(61 * SECOND))
    assert [bar.end_ns // SECOND for bar in live.bars] == [12, 61]


def test_snapshot_carries_the_bar_that_is_open():
    events = market(8)
    whole, first, second = Watching(), Watching(), Watching()
    run(whole, events)
    half = len(events) // 2
    made = run(first, events[:half])
    states = made.states()
    run_restored(second, events[half:], states)
    assert first.bars + second.bars == whole.bars


def run_restored(strategy, events, states):
    made = native.Backtest(engine_config([BTC], [("s", strategy)], account="USDT"), (strategy,), [VENUE])
    made.restore(states)
    assert not made.run(np.ascontiguousarray(events).view(np.uint8), 1_000)


def test_bars_from_outside_are_told_and_none_are_built_beside_them():
    events = market(5)
    bar = np.zeros(1, EVENT)
    bar["time_exchange_ns"] = bar["time_local_ns"] = events["time_local_ns"][0]
    bar["kind"], bar["side"], bar["flags"], bar["price"] = EventKind.BAR, 255, events["flags"][0], 7
    watching = Watching()
    run(watching, np.concatenate([bar, events]))
    assert [told.close for told in watching.bars] == [7]


def test_live_refuses_bars_of_no_time_and_single_records():
    class Bars(Strategy):
        def on_bar(self, ctx, event): ...

    class Records(Strategy):
        def on_event(self, ctx, event): ...

    with pytest.raises(InputError, match="of what time"):
        native_kernel(Bars("b"))
    with pytest.raises(InputError, match="on_event"):
        native_kernel(Records("r"))


MISMATCH = """
from engine.sdk import Strategy

class Hourly(Strategy):
    bar_interval_ns = 3_600_000_000_000

    def on_bar(self, ctx, event): ...
"""


def test_bars_from_outside_of_another_time_are_refused(tmp_path):
    (tmp_path / "hourly_of_mismatch.py").write_text(MISMATCH)
    given = {
        "data": [{"kind": "ohlcv", "instrument": "x:AB", "path": "none.csv", "period_minutes": 5}],
        "instruments": {"x:AB": {"base": "A", "quote": "USDT", "tick_size": "0.1", "lot_size": "0.001"}},
        "strategies": [{"kind": "python", "strategy": "hourly_of_mismatch:Hourly"}],
    }
    with pytest.raises(InputError, match="wants bars of 60 minutes, the data of x:AB has bars of 5"):
        run_backtest(BacktestConfig.model_validate(given), market(1), tmp_path)
