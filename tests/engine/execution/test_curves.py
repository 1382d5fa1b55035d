"""Volume curves: every lot is in its part of the time."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import InputError
from engine.execution.curves import DAY_NS, volume_curve

trades = st.lists(st.tuples(st.integers(0, 3 * DAY_NS), st.integers(1, 10**9)), min_size=1, max_size=50)


@given(trades=trades, parts=st.integers(1, 48), by_day=st.booleans())
def test_shares_are_of_the_whole_and_each_in_its_part(trades, parts, by_day):
    times, lots = (np.array(column, dtype=np.int64) for column in zip(*sorted(trades), strict=True))
    shares = volume_curve(times, lots, parts, by_day=by_day)
    assert len(shares) == parts
    assert sum(shares) == pytest.approx(Decimal(1), abs=Decimal("0.000001") * parts)
    if by_day:
        first = [lot for time, lot in trades if time % DAY_NS < -(-DAY_NS // parts)]
        assert float(shares[0]) == pytest.approx(sum(first) / lots.sum(), abs=1e-6)


def test_a_curve_of_nothing_is_refused():
    with pytest.raises(InputError):
        volume_curve(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)
