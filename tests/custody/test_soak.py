"""A short run of `soak.custody`: the same code, fewer kills."""

from __future__ import annotations

import pytest

from domain import InputError
from soak.custody import run

pytestmark = [pytest.mark.anvil, pytest.mark.timeout(180)]


async def test_a_score_of_kills_loses_nothing_and_repeats_nothing() -> None:
    try:
        tally = await run(kills=20, seed=20)
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    print(tally)
    assert tally.killed >= 20
    assert all(count > 0 for count in tally.kills.values())
    assert tally.reorganisations > 0
    assert tally.transactions > 10
    assert (tally.double_spends, tally.nonce_gaps, tally.lost) == (0, 0, 0)
    assert tally.ledger_equals_reindex
    assert not tally.problems
