"""The long run, cut short: what `python -m soak.dex` compares by the ten thousand."""

from __future__ import annotations

import random

import pytest

from soak.dex import play

pytestmark = pytest.mark.anvil


async def test_random_events_reorganisations_and_quotes_leave_no_mismatch() -> None:
    found, asked = await play(random.Random(5), events=60, reorgs=3, quotes=24)
    assert found["events"] >= 60
    assert found["reorganisations"] == 3
    assert found["logs_undone"] > 0
    assert found["mismatches"] == found["quote_mismatches"] == 0
    assert set(asked) == {"v2", "v3", "v4", "balancer-stable", "balancer-weighted", "curve-stable"}
    assert set(asked.values()) == {24}
