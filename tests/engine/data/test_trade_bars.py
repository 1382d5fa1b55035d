"""Bars of the core against plain Python, on made-up and on recorded trades."""

from __future__ import annotations

from pathlib import Path

import capstan_native as native
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.captures import Events
from engine.records import EVENT, EventKind
from tests.reference.bars import Bar, Trade, bars
from tests.support.market_data import load_recording

_RULES = ("time", "ticks", "volume", "value")
_trades = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 50), st.integers(0, 30), st.sampled_from((0, 1))), max_size=40
)


def _events(trades: list[Trade], instrument: int) -> Events:
    events = np.zeros(len(trades), EVENT)
    for field, values in zip(("time_exchange_ns", "price", "size", "side"), zip(*trades, strict=True), strict=False):
        events[field] = values
    events["kind"], events["instrument"] = EventKind.TRADE, instrument
    return events


def _bars(events: Events, instrument: int, rule: str, size: int) -> list[Bar]:
    rows = np.frombuffer(native.bars(events.tobytes(), instrument, rule, size), "<i8").reshape(-1, 10)
    return [tuple(row) for row in rows.tolist()]


@given(steps=_trades, rule=st.sampled_from(_RULES), size=st.integers(1, 60), start=st.integers(-100, 100))
@settings(max_examples=400, deadline=None)
def test_bars_are_those_of_the_reference(steps: list[Trade], rule: str, size: int, start: int) -> None:
    trades, now = list[Trade](), start
    for step, *rest in steps:
        now += step
        trades.append((now, *rest))  # type: ignore[arg-type]
    others = _events([(0, 1, 1, 0)] * 2, 9)
    events = np.concatenate([others, _events(trades, 3), others]) if trades else others
    assert _bars(events, 3, rule, size) == bars(trades, rule, size)


@pytest.mark.parametrize(("rule", "size"), [("time", 10**9), ("ticks", 50), ("volume", 20_000), ("value", 10**10)])
def test_recorded_trades_make_the_bars_of_the_reference(market_data: Path, rule: str, size: int) -> None:
    events = load_recording(market_data, "usdm_btcusdt").events
    told = events[events["kind"] == EventKind.TRADE][["time_exchange_ns", "price", "size", "side"]].tolist()
    made = _bars(events, 0, rule, size)
    assert made == bars(told, rule, size)
    assert len(made) > 100
    assert made == _bars(events, 0, rule, size)


def test_rules_that_are_none_are_refused() -> None:
    for rule, size in (("renko", 1), ("time", 0), ("ticks", -1), ("volume", 0), ("value", -3)):
        with pytest.raises(ValueError, match=r"expected time|positive"):
            native.bars(b"", 0, rule, size)
    with pytest.raises(ValueError, match="whole"):
        native.bars(b"x", 0, "ticks", 1)
    events = _events([(0, 2**62, 2**62, 0)], 0)
    with pytest.raises(OverflowError):
        native.bars(events.tobytes(), 0, "ticks", 1)
