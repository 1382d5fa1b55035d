"""Labels begin at the open after the decision; nothing of them is in the features."""

from __future__ import annotations

import numpy as np
import pytest

from domain import InputError
from engine.models.dataset import join, samples_of
from engine.models.features import WINDOW, of_history
from engine.models.settings import LabelSettings
from tests.support.model_bars import bars


def test_a_label_is_the_move_from_the_next_open():
    history = bars(200)
    samples = samples_of(history, LabelSettings(horizon_bars=6))
    assert len(samples) == 200 - (WINDOW - 1) - 7
    at = WINDOW - 1 + 10
    opens = history["aux"][:, 0]
    assert samples.times_ns[10] == history["time_local_ns"][at]
    assert samples.forward[10] == pytest.approx(opens[at + 7] / opens[at + 1] - 1)
    assert samples.y[10] == int(opens[at + 7] > opens[at + 1])
    assert samples.ends_ns[10] == history["time_local_ns"][at + 7]


def test_inputs_are_the_features_of_the_bar_that_closed_and_of_those_before():
    history = bars(200)
    vectors = of_history(history)
    single = samples_of(history, LabelSettings(horizon_bars=6))
    assert np.array_equal(single.x, vectors[: len(single)])
    several = samples_of(history, LabelSettings(horizon_bars=6), steps=5)
    assert several.x.shape == (len(single) - 4, 5, vectors.shape[1])
    assert np.array_equal(several.x[3], vectors[3:8])
    assert several.times_ns[3] == single.times_ns[7]


def test_what_happens_up_to_the_decision_is_no_part_of_the_label():
    history = bars(200)
    changed = history.copy()
    changed["price"][:150] += 1_000
    changed["aux"][:151, 1] += 1_000
    before, after = (samples_of(one, LabelSettings(horizon_bars=6)) for one in (history, changed))
    at = 150 - WINDOW + 1
    assert np.array_equal(before.forward[at:], after.forward[at:])
    assert not np.array_equal(before.x[at], after.x[at])


def test_the_barrier_that_is_touched_first_decides():
    history = bars(200)
    label = LabelSettings(kind="triple-barrier", horizon_bars=3, barrier=1.0)
    at = WINDOW - 1 + 20
    start = int(history["aux"][at + 1, 0])
    close = history["price"].astype(float)
    squares = (close[at - 23 : at + 1] / close[at - 24 : at] - 1) ** 2
    width = float(np.sqrt(squares.mean() * 3))

    def first(touch):
        told = history.copy()
        for step in (1, 2, 3):
            told["sequence"][at + step] = told["aux"][at + step, 1] = start
        for step, low, high in touch:
            told["sequence"][at + step] = int(start * (1 - low * width))
            told["aux"][at + step, 1] = int(start * (1 + high * width)) + 1
        return samples_of(told, label).forward[20]

    assert first([(2, 0, 1.1), (3, 1.1, 0)]) == pytest.approx(width)
    assert first([(2, 1.1, 0), (3, 0, 1.1)]) == pytest.approx(-width)
    assert first([(1, 1.1, 1.1)]) == pytest.approx(-width)  # Which came first is not known: the loss is assumed.
    direct = samples_of(history, LabelSettings(horizon_bars=3)).forward[20]
    assert first([]) == pytest.approx(direct)  # Neither: the return at the horizon.


def test_joined_instruments_stand_in_order_of_time():
    one, two = (samples_of(bars(200, seed=seed), LabelSettings(horizon_bars=6)) for seed in (1, 2))
    joined = join([one, two])
    assert len(joined) == len(one) + len(two)
    assert (np.diff(joined.times_ns) >= 0).all()
    assert np.array_equal(joined.x[::2], one.x)


def test_too_short_a_history_is_refused():
    with pytest.raises(InputError, match="too few"):
        samples_of(bars(WINDOW + 6), LabelSettings(horizon_bars=6))
