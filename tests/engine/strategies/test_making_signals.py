"""What market makers signal: what they quoted or traded on, with its inputs."""

from __future__ import annotations

import pytest

from tests.engine.strategies.cases import CASES
from tests.engine.strategies.lab import backtest

SIGNALS = {
    "avellaneda-stoikov": ("reservation", {"mid", "inventory", "variance"}),
    "cross-exchange-market-making": ("unhedged", {"slippage_bps", "attempts"}),
    "glft": ("intensity", {"decay", "sigma_bps", "exposure_s"}),
    "order-book-imbalance": ("imbalance", {"bid_lots", "ask_lots", "change"}),
    "pure-market-making": ("shift", {"mid_ticks", "hanging"}),
}


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_signal_has_its_inputs(kind):
    name, inputs = SIGNALS[kind]
    case = next(case for case in CASES if case.label == kind)
    signals = [signal for signal in backtest(case).signals if signal.name == name]
    assert signals
    assert all(set(signal.inputs) == inputs for signal in signals)
