"""The soak of swaps, a few rounds of it: whatever routing quotes is carried out to the unit."""

from __future__ import annotations

import pytest

from soak.swaps import run_swaps

pytestmark = pytest.mark.anvil


async def test_random_swaps_give_what_routing_quoted(devnet, tmp_path):
    tally = await run_swaps(devnet, tmp_path, count=4, seed=3)
    assert tally.swaps == 4
    assert len(tally.through) == 2
