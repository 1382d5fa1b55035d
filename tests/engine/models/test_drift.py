"""The gate lets what training knew through, and stops for good what it did not."""

from __future__ import annotations

import numpy as np
import pytest

from engine.models.dataset import samples_of
from engine.models.drift import DriftGate, DriftSettings, far_outside, outside
from engine.models.settings import LabelSettings, nanoseconds
from tests.engine.models.trained import forest
from tests.support.model_bars import bars, settings


@pytest.fixture
def card():
    return forest().artefact.card


@pytest.fixture
def trained_x():
    samples = samples_of(bars(), LabelSettings(horizon_bars=6))
    return samples.x[samples.ends_ns < nanoseconds(settings().test_from)]


def beyond(card, x, widths, at=0):
    moved, bounds = x.copy(), card.ranges[at]
    moved[at] = bounds.high + widths * (bounds.high - bounds.low)
    return moved


def test_everything_that_was_trained_on_passes(card, trained_x):
    gate = DriftGate(card, DriftSettings(window=20, share_max=0.0))
    assert all(gate.admit(x) for x in trained_x)
    assert gate.reason == ""


def test_a_value_far_outside_closes_it_at_once_by_name(card, trained_x):
    gate = DriftGate(card, DriftSettings(reach=0.5))
    assert gate.admit(beyond(card, trained_x[0], 0.4))
    assert not gate.admit(beyond(card, trained_x[0], 0.6))
    assert gate.reason.startswith("return_1 is ")
    assert not gate.admit(trained_x[0])  # And it stays closed.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_closes_it(card, trained_x, value):
    x = trained_x[0].copy()
    x[2] = value
    gate = DriftGate(card, DriftSettings(reach=1e9))
    assert not gate.admit(x)
    assert "return_12" in gate.reason


def test_too_many_values_a_little_outside_close_it(card, trained_x):
    gate = DriftGate(card, DriftSettings(window=20, share_max=0.25))
    odd = beyond(card, trained_x[0], 0.1, at=3)
    assert outside(card, odd) == ("return_24",)
    assert far_outside(card, odd, 1.0) == ""
    for _ in range(5):
        assert gate.admit(odd)
        assert gate.admit(trained_x[0])
    assert not gate.admit(odd)
    assert "return_24" in gate.reason
    assert gate.reason.startswith("6 of the last 11")


def test_old_ones_are_forgotten(card, trained_x):
    gate = DriftGate(card, DriftSettings(window=4, share_max=0.25))
    odd = beyond(card, trained_x[0], 0.1)
    for _ in range(10):
        assert gate.admit(odd)
        for _ in range(3):
            assert gate.admit(trained_x[0])


def test_a_gate_goes_on_from_its_state(card, trained_x):
    rules = DriftSettings(window=20, share_max=0.25)
    gate = DriftGate(card, rules)
    odd = beyond(card, trained_x[0], 0.1)
    for _ in range(5):
        gate.admit(odd)
    resumed = DriftGate(card, rules, list(gate.recent), gate.reason)
    assert not resumed.admit(odd)
    assert DriftGate(card, rules, [], "it was closed").is_closed


def test_only_the_last_bar_of_a_sequence_counts(card, trained_x):
    sequence = np.stack([beyond(card, trained_x[0], 5.0), trained_x[1]])
    assert outside(card, sequence) == ()
    assert outside(card, sequence[::-1]) == ("return_1",)
