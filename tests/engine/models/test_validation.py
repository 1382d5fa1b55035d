"""Nothing that a model is tested on reaches into what it was trained on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import InputError
from engine.models.dataset import Samples
from engine.models.validation import purged_folds, split_at


def samples(count: int, horizon: int, instruments: int = 1) -> Samples:
    times = np.repeat(np.arange(count, dtype=np.int64), instruments)
    size = len(times)
    return Samples(times, times + horizon, np.zeros((size, 1), np.float32), np.zeros(size, np.int64), np.zeros(size))


@settings(max_examples=60)
@given(st.integers(20, 200), st.integers(1, 30), st.integers(2, 6), st.integers(0, 20), st.integers(1, 3))
def test_folds_are_purged_and_embargoed_and_test_everything_once(count, horizon, folds, embargo, instruments):
    made = samples(count, horizon, instruments)
    tested: list[int] = []
    for train, test in purged_folds(made, folds, embargo):
        tested += test.tolist()
        assert not set(train) & set(test)
        begin, end, known = made.times_ns[test].min(), made.times_ns[test].max(), made.ends_ns[test].max()
        before, after = made.times_ns[train] < begin, made.times_ns[train] > end
        assert (before | after).all()
        assert (made.ends_ns[train][before] < begin).all()
        assert (made.times_ns[train][after] > known + embargo).all()
        # And no more than that is left out.
        left_out = set(range(len(made))) - set(train) - set(test)
        assert all(
            made.ends_ns[row] >= begin if made.times_ns[row] < begin else made.times_ns[row] <= known + embargo
            for row in left_out
        )
    assert sorted(tested) == list(range(len(made)))


def test_the_last_split_keeps_labels_that_reach_over_it_out_of_training():
    made = samples(100, 10)
    train, test = split_at(made, 60)
    assert (made.ends_ns[train] < 60).all()
    assert len(train) == 50
    assert made.times_ns[test].min() == 60


@pytest.mark.parametrize(("moment", "which"), [(0, "before"), (100, "after")])
def test_an_empty_side_is_refused(moment, which):
    with pytest.raises(InputError, match=f"nothing lies {which}"):
        split_at(samples(100, 10), moment)


def test_more_folds_than_moments_are_refused():
    with pytest.raises(InputError, match="cannot be split"):
        list(purged_folds(samples(9, 1), 5, 0))
