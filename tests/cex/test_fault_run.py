"""The fault run, short: an engine on the sandbox exchange, every fault at work, both sides killed; the books are true.

`python -m soak.exchange` plays a hundred thousand orders; see `soak/exchange`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soak.exchange import Plan, play

ORDERS = 2_000


@pytest.mark.timeout(400)
def test_no_fill_is_lost_or_counted_twice_whatever_strikes(tmp_path: Path) -> None:
    plan = Plan.of(ORDERS, int(os.environ.get("CAPSTAN_SEED", "8")), exchange_kills=2)
    outcome = play(plan, tmp_path / "run")
    assert outcome.problems == []
    assert outcome.reached >= ORDERS
    assert outcome.fills > 0
    assert outcome.trader_starts > plan.trader_kills
