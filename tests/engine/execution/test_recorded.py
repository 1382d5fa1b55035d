"""Recorded data: the schedule is kept within a slice, also where the market is a real one. Synthetic twins are in
`test_algorithms.py`; the whole tables are made by `tests.support.execution_costs`.
"""

from __future__ import annotations

import pytest

from tests.support.execution_costs import SPANS, execute
from tests.support.market_data import absence, load_recording, market_data_folder

FOLDER = market_data_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason=absence())
MARKET = "usdm_btcusdt"
PACED = {"duration_s": SPANS[MARKET][1], "every_s": 10}


@pytest.fixture(scope="module")
def events():
    assert FOLDER is not None
    return load_recording(FOLDER, MARKET).events


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "twap", **PACED},
        {"name": "vwap", **PACED, "curve": [3, 1, 2]},
        {"name": "pov", **PACED, "share": "0.05"},
        {"name": "shortfall", **PACED, "risk_aversion": "1e-6", "volatility": "8", "impact": "0.64"},
    ],
    ids=lambda algorithm: algorithm["name"],
)
def test_schedules_are_kept_within_a_slice(events, algorithm, side):
    strategy, told = execute(MARKET, events, side, "20", algorithm)
    assert told.filled == pytest.approx(20.0)
    assert strategy.order.is_done
    assert told.ahead_max <= told.slice_max
    assert told.behind_max <= told.slice_max
    assert told.slice_max < 0.2 * told.qty
    assert told.shortfall_total_bps is not None
