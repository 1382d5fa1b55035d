"""Measures agree with scikit-learn and scipy, and an interval covers what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.models.skill import auc, brier, information_coefficient, interval, log_loss, measure

metrics = pytest.importorskip("sklearn.metrics", reason="the extra ml is not installed")
stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")


@pytest.fixture(params=[1, 2, 3])
def drawn(request):
    draw = np.random.Generator(np.random.PCG64(request.param))
    forward = draw.normal(0, 0.01, 500)
    p = np.round(np.clip(0.5 + 5 * forward + draw.normal(0, 0.2, 500), 0.0, 1.0), 2)  # Rounded: ties.
    return (forward > 0).astype(np.int64), p, forward


def test_measures_are_those_of_scikit_learn_and_scipy(drawn):
    y, p, forward = drawn
    assert auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)) == pytest.approx(
        metrics.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)), abs=1e-12
    )
    assert brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
    assert information_coefficient(p, forward) == pytest.approx(stats.spearmanr(p, forward).statistic, abs=1e-12)


def test_skill_is_nothing_for_the_base_rate_and_all_for_certainty(drawn):
    y, _, forward = drawn
    rate = float(y.mean())
    assert measure(y, np.full(len(y), rate), forward, rate)["skill"] == pytest.approx(0.0, abs=1e-12)
    assert measure(y, y.astype(float), forward, rate)["skill"] == pytest.approx(1.0, abs=1e-5)
    assert measure(y, 1.0 - y, forward, rate)["skill"] < 0.0


def test_the_degenerate_cases_have_an_answer():
    assert math.isnan(auc(np.ones(3, np.int64), np.array([0.1, 0.2, 0.3])))
    assert information_coefficient(np.full(3, 0.5), np.array([0.1, 0.2, 0.3])) == 0.0


def test_an_interval_contains_the_estimate_and_is_wider_for_longer_blocks(drawn):
    y, p, forward = drawn
    low, high = interval(y, p, forward, block=5)["auc"]
    assert low < auc(y, p) < high
    repeated = [np.repeat(values, 10) for values in (y, p, forward)]
    honest, naive = (interval(*repeated, block=block)["auc"] for block in (100, 1))
    assert honest[1] - honest[0] > 1.5 * (naive[1] - naive[0])
