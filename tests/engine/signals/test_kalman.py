"""The hedge filter against statsmodels' state space, ridge regression in closed form, and Riccati's steady state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from engine.signals.kalman import KalmanHedge, kalman_hedge


def prices(seed, n=300):
    random = np.random.default_rng(seed)
    x = 10 + np.cumsum(random.normal(scale=0.05, size=n))
    beta = 1.5 + np.cumsum(random.normal(scale=0.01, size=n))
    return 0.4 + beta * x + random.normal(scale=0.1, size=n), x


def statsmodels_filter(y, x, drift, noise, prior):
    made = KalmanFilter(k_endog=1, k_states=2)
    made.bind(y)
    made["design"] = np.stack([np.ones_like(x), x])[None, :, :]
    made["obs_cov"] = np.array([[noise]])
    made["transition"] = made["selection"] = np.eye(2)
    made["state_cov"] = drift * np.eye(2)
    # Ours predicts before the first look, theirs after it.
    made.initialize_known(np.zeros(2), (prior + drift) * np.eye(2))
    return made.filter()


@pytest.mark.parametrize(("drift", "noise", "prior"), [(1e-4, 1e-2, 1.0), (0.0, 0.5, 10.0), (1e-2, 1e-3, 0.1)])
def test_filter_agrees_with_statsmodels(drift, noise, prior):
    y, x = prices(1)
    ours, theirs = (
        kalman_hedge(y, x, drift=drift, noise=noise, prior=prior),
        statsmodels_filter(y, x, drift, noise, prior),
    )
    for name, expected in (
        ("alpha", theirs.filtered_state[0]),
        ("beta", theirs.filtered_state[1]),
        ("error", theirs.forecasts_error[0]),
        ("variance", theirs.forecasts_error_cov[0, 0]),
    ):
        np.testing.assert_allclose(ours[name], expected, rtol=1e-7, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_without_drift_it_is_ridge_regression(seed):
    y, x = prices(seed, 40)
    made = kalman_hedge(y, x, drift=0.0, noise=0.2, prior=4.0)
    design = np.stack([np.ones_like(x), x], axis=1)
    expected = np.linalg.solve(design.T @ design + 0.2 / 4.0 * np.eye(2), design.T @ y)
    assert [made["alpha"][-1], made["beta"][-1]] == pytest.approx(expected, rel=1e-7)


def test_variance_settles_where_riccati_says():
    # x = 0: α alone is seen, P = q/2 + sqrt(q²/4 + q·r) before each look, S = P + r.
    q, r = 0.02, 0.5
    made = kalman_hedge(np.zeros(500), np.zeros(500), drift=q, noise=r)
    assert made["variance"][-1] == pytest.approx(q / 2 + math.sqrt(q * q / 4 + q * r) + r, rel=1e-12)


def test_it_follows_a_ratio_that_moves_better_than_one_line():
    y, x = prices(3, 2_000)
    made = kalman_hedge(y, x, drift=1e-4, noise=1e-2)
    beta, alpha = np.polyfit(x, y, 1)
    assert np.std(made["error"][100:]) < 0.5 * np.std((y - alpha - beta * x)[100:])
    # Innovations of a model that is right have the variance it says they have.
    assert 0.9 < np.mean(made["error"][100:] ** 2 / made["variance"][100:]) < 1.1


def test_centre_only_moves_alpha():
    y, x = prices(4, 100)
    made, moved = KalmanHedge(0.0, 1e-3, 1e3), KalmanHedge(0.0, 1e-3, 1e3, centre=10.0)
    for pair in zip(y.tolist(), x.tolist(), strict=True):
        made.update(*pair)
        moved.update(*pair)
    slope = np.polyfit(x, y, 1)[0]
    assert moved.beta == pytest.approx(slope, rel=1e-5)
    # Without a centre α and β are all but one, which costs digits.
    assert made.beta == pytest.approx(slope, rel=1e-3)
    assert moved.spread(y[-1], x[-1]) == pytest.approx(made.spread(y[-1], x[-1]), abs=1e-3)


def test_a_restored_filter_goes_on_bit_for_bit():
    y, x = prices(6, 60)
    whole, first, second = KalmanHedge(), KalmanHedge(), KalmanHedge()
    for at, pair in enumerate(zip(y.tolist(), x.tolist(), strict=True)):
        whole.update(*pair)
        (first if at < 30 else second).update(*pair)
        if at == 29:
            second.restore(first.state())
    assert second.state() == whole.state()
    assert min(second.p00, second.p11) > 0
    assert second.p00 * second.p11 > second.p01**2
