"""Cointegration against statsmodels, against what theory says of made series, and bit-stable."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.tools import add_constant
from statsmodels.tsa.adfvalues import mackinnoncrit, mackinnonp
from statsmodels.tsa.stattools import adfuller, coint

from domain import InputError
from engine.signals.cointegration import (
    critical_value,
    dickey_fuller,
    engle_granger,
    fit_line,
    halflife,
    p_value,
)


def walk(seed, n=400):
    return np.cumsum(np.random.default_rng(seed).normal(size=n))


def pair(seed, n=400, phi=0.7):
    """Two prices of one walk, whose distance returns by 1 - phi each step."""
    random, x = np.random.default_rng(seed), walk(seed, n)
    distance = np.zeros(n)
    for at in range(1, n):
        distance[at] = phi * distance[at - 1] + random.normal()
    return 3.0 + 1.7 * x + distance, x


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-3, 1.0, 1e4]))
def test_line_is_ordinary_least_squares(seed, scale):
    y, x = pair(seed, 60)
    x = x * scale
    ours, theirs = fit_line(y.tolist(), x.tolist()), OLS(y, add_constant(x)).fit()
    assert [ours.alpha, ours.beta] == pytest.approx(theirs.params, rel=1e-9)
    assert ours.r_squared == pytest.approx(theirs.rsquared, rel=1e-9)
    assert ours.residuals == pytest.approx(theirs.resid, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("lags", [0, 1, 4])
@pytest.mark.parametrize(("constant", "regression"), [(True, "c"), (False, "n")])
def test_dickey_fuller_agrees_with_statsmodels(lags, constant, regression):
    for seed in range(4):
        series = walk(seed, 250) if seed % 2 else pair(seed, 250)[0] - 1.7 * walk(seed, 250)
        theirs = adfuller(series, maxlag=lags, autolag=None, regression=regression, result_object=False)[0]
        assert dickey_fuller(series.tolist(), lags=lags, constant=constant) == pytest.approx(theirs, rel=1e-8)


@pytest.mark.parametrize("lags", [0, 1, 3])
def test_engle_granger_agrees_with_statsmodels(lags):
    for seed in range(4):
        y, x = pair(seed) if seed % 2 else (walk(seed), walk(seed + 100))
        ours = engle_granger(y.tolist(), x.tolist(), lags=lags)
        statistic, p, critical = coint(y, x, maxlag=lags, autolag=None, return_results=False)
        assert ours.statistic == pytest.approx(statistic, rel=1e-8)
        assert ours.p_value == pytest.approx(p, rel=1e-8, abs=1e-12)
        assert [ours.critical(level) for level in ("1%", "5%", "10%")] == pytest.approx(critical, rel=1e-12)


def test_tables_agree_with_statsmodels_over_their_whole_range():
    for variables in (1, 2):
        for statistic in np.linspace(-20, 3, 93):
            theirs = mackinnonp(statistic, regression="c", N=variables)
            assert p_value(float(statistic), variables=variables) == pytest.approx(theirs, rel=1e-10, abs=1e-15)
        for n in (50, 500, 10_000):
            theirs = mackinnoncrit(N=variables, regression="c", nobs=n)
            ours = [critical_value(level, variables=variables, observations=n) for level in ("1%", "5%", "10%")]
            assert ours == pytest.approx(theirs, rel=1e-12)


def test_it_finds_pairs_and_refuses_strangers_about_as_often_as_its_level_says():
    found = sum(engle_granger(*map(list, pair(seed, 250))).holds("5%") for seed in range(60))
    fooled = sum(engle_granger(list(walk(s, 250)), list(walk(s + 999, 250))).holds("5%") for s in range(200))
    assert found >= 58
    assert 2 <= fooled <= 22


def test_halflife_of_a_noiseless_decay_is_exact_and_a_walk_has_none_to_speak_of():
    decay = [100.0 * 0.9**step for step in range(80)]
    assert halflife(decay) == pytest.approx(math.log(0.5) / math.log(0.9), rel=1e-9)
    assert halflife([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == math.inf
    assert halflife([1.0, -1.0] * 20) == 0.0


def test_what_cannot_be_tested_is_said():
    x = walk(3, 50).tolist()
    with pytest.raises(InputError, match="are one"):
        engle_granger([2.0 * v + 1.0 for v in x], x)
    with pytest.raises(InputError, match="varies"):
        engle_granger(x, [1.0] * 50)
    with pytest.raises(InputError, match="one length"):
        fit_line(x, x[1:])
    with pytest.raises(InputError, match="too few"):
        dickey_fuller(x[:5], lags=3)


def test_the_same_series_give_the_same_bits_everywhere():
    x = [float(step * step % 101) for step in range(200)]
    y = [2.0 * v + float(step % 23) for step, v in enumerate(x)]
    found = engle_granger(y, x)
    assert found.statistic.hex() == "-0x1.5c1e5b006c5b4p+2"
    assert found.halflife.hex() == "0x1.41152245fe4f2p+1"
