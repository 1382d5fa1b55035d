"""No kind of the catalog looks ahead: with the data cut off, everything before the cut is decided as with all of it."""

from __future__ import annotations

import pytest

from tests.engine.strategies.cases import CASES, Case
from tests.engine.strategies.lab import backtest, cut, decided_before, events_of

SHARES = (0.35, 0.7)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_what_comes_later_changes_nothing_before(case: Case) -> None:
    events, whole = events_of(case), backtest(case)
    compared = 0
    for share in SHARES:
        part = cut(events, share)
        end_ns = int(part["time_local_ns"][-1])
        expected = decided_before(whole, end_ns)
        assert decided_before(backtest(case, part), end_ns) == expected
        compared += len(expected)
    assert compared, "nothing was decided in the part that is compared: give the case more data"
