"""Every statistic against an oracle: empyrical, scipy, or a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from domain import InputError
from engine.research import statistics as ours
from engine.research.bootstrap import block_length, deepest_drawdowns, interval, resamples

SERIES = [np.random.default_rng(seed).standard_t(5, 750) * 0.01 + 0.0003 for seed in range(4)]


@pytest.mark.parametrize("returns", SERIES)
def test_ratios_agree_with_empyrical(returns):
    empyrical = pytest.importorskip("empyrical")
    assert ours.sharpe(returns, 252) == pytest.approx(empyrical.sharpe_ratio(returns), rel=1e-12)
    assert ours.sharpe(returns, 252, 0.0001) == pytest.approx(empyrical.sharpe_ratio(returns, 0.0001), rel=1e-12)
    assert ours.sortino(returns, 252) == pytest.approx(empyrical.sortino_ratio(returns), rel=1e-12)
    assert ours.sortino(returns, 252, 0.001) == pytest.approx(empyrical.sortino_ratio(returns, 0.001), rel=1e-12)
    assert ours.calmar(returns, 252) == pytest.approx(empyrical.calmar_ratio(returns), rel=1e-10)
    deepest = ours.relative_drawdown(np.concatenate([[1.0], np.cumprod(1 + returns)])).max()
    assert deepest == pytest.approx(-empyrical.max_drawdown(returns), rel=1e-12)


@pytest.mark.parametrize("returns", SERIES)
def test_moments_and_probabilities_agree_with_scipy(returns):
    stats = pytest.importorskip("scipy.stats")
    assert ours.skew(returns) == pytest.approx(stats.skew(returns), rel=1e-10)
    assert ours.kurtosis(returns) == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)
    observed = returns.mean() / returns.std(ddof=1)
    spread = 1 - stats.skew(returns) * observed + (stats.kurtosis(returns) + 2) / 4 * observed**2
    expected = stats.norm.cdf((observed - 0.02) * math.sqrt(749 / spread))
    assert ours.probabilistic_sharpe(returns, 0.02) == pytest.approx(expected, rel=1e-10)


def test_deflated_sharpe_of_the_paper():
    # Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", numerical example: 100 trials whose yearly Sharpe
    # ratios have a variance of 1/2, five years of daily data, SR 2.5, skew -3, kurtosis 10: SR0 = 0.1132, DSR = 0.9004.
    expected = ours.best_sharpe_expected(100, math.sqrt(0.5 / 250))
    assert expected == pytest.approx(0.1132, abs=5e-5)
    found = ours.probability_above(2.5 / math.sqrt(250), 1250, -3.0, 10.0, expected)
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_expected_best_is_that_of_drawn_normals():
    drawn = np.random.default_rng(3).normal(0, 0.1, (20_000, 50)).max(axis=1)
    assert ours.best_sharpe_expected(50, 0.1) == pytest.approx(drawn.mean(), rel=0.02)
    assert ours.best_sharpe_expected(1, 0.1) == 0.0


def test_deflating_by_more_trials_lowers_the_probability():
    series = SERIES[1]
    found = [ours.deflated_sharpe(series, trials, 0.04) for trials in (1, 10, 100, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[0] == ours.probabilistic_sharpe(series)


def test_drawdown_counts_from_the_start_and_lasts():
    result = np.array([-1.0, 2.0, 1.0, 1.5, 2.0, 3.0, 0.5])
    assert ours.drawdown(result).tolist() == [1.0, 0.0, 1.0, 0.5, 0.0, 0.0, 2.5]
    assert ours.drawdown_steps_max(result) == 2


def test_simple_calmar_by_hand():
    # +1, -2, +4: mean 1, deepest drawdown 2.
    assert ours.calmar_simple(np.array([1.0, -2.0, 4.0]), 10.0) == pytest.approx(5.0)


@pytest.mark.parametrize("series", [np.zeros(0), np.ones(1), np.full(50, 0.1)])
def test_what_is_not_defined_is_none(series):
    assert ours.sharpe(series, 252) is None
    assert ours.sortino(series, 252) is None
    assert ours.calmar(series, 252) is None
    assert ours.calmar_simple(series, 252) is None
    assert ours.probabilistic_sharpe(series) is None


def test_equity_that_begins_below_zero_is_refused():
    with pytest.raises(InputError, match="begins at -1"):
        ours.relative_drawdown(np.array([-1.0, 2.0]))


def test_turnover_is_value_over_capital_and_time():
    assert ours.turnover(1_000_000, 50_000, 0.5) == 40.0
    assert ours.turnover(1.0, 0.0, 1.0) is None


def test_capacity_is_where_impact_eats_the_edge():
    edge, volatility, participation = 0.0004, 0.03, 1e-6
    found = ours.capacity(edge, volatility, participation)

    def earned(scale):
        return scale * (edge - volatility * math.sqrt(scale * participation))

    grid = np.linspace(0, found.scale_max * 1.2, 100_001)[1:]
    values = [earned(scale) for scale in grid]
    assert grid[int(np.argmax(values))] == pytest.approx(found.scale_best, rel=1e-3)
    assert earned(found.scale_max) == pytest.approx(0.0, abs=1e-12)
    assert ours.capacity(-edge, volatility, participation) is None


# --- bootstrap


def test_bootstrapped_mean_scatters_as_its_closed_form_says():
    series = SERIES[0]
    means = np.concatenate([series[rows].mean(axis=1) for rows in resamples("trades", len(series), 4_000)])
    # The variance of a resampled mean is exactly the sample's (not n - 1) over n; 4,000 draws know it to 2 in 100.
    assert means.var() == pytest.approx(series.var() / len(series), rel=0.08)
    assert means.mean() == pytest.approx(series.mean(), abs=4 * means.std() / math.sqrt(4_000))


def test_blocks_keep_what_neighbours_share():
    # Circular blocks of length L: Var(mean) = mean over starts of (block mean - mean)² · L / n, in closed form.
    noise = np.random.default_rng(5).normal(size=600)
    series = np.convolve(noise, np.ones(5), "valid")[:595]
    length = 17  # divides 595
    doubled = np.concatenate([series, series[:length]])
    blocks = np.array([doubled[at : at + length].mean() for at in range(len(series))])
    expected = blocks.var() * length / len(series)
    means = np.concatenate([series[rows].mean(axis=1) for rows in resamples("block", 595, 4_000, block=length)])
    assert means.var() == pytest.approx(expected, rel=0.08)
    alone = np.concatenate([series[rows].mean(axis=1) for rows in resamples("trades", 595, 2_000)])
    assert means.var() > 2.5 * alone.var()


def test_stationary_blocks_have_the_variance_politis_and_romano_give():
    # Lemma 1 of their paper, with circular covariances: n · Var(mean) = C(0) + 2 Σ (1 - i/n) (1 - p)^i C(i).
    n, block = 400, 8
    series = np.convolve(np.random.default_rng(6).normal(size=n + 3), np.ones(4), "valid")[:n]
    centred, p = series - series.mean(), 1 / block
    lags = np.arange(1, n)
    covariances = np.array([centred @ np.roll(centred, -lag) / n for lag in lags])
    expected = (centred @ centred / n + 2 * ((1 - lags / n) * (1 - p) ** lags * covariances).sum()) / n
    means = np.concatenate([series[rows].mean(axis=1) for rows in resamples("stationary", n, 8_000, block=block)])
    assert means.var() == pytest.approx(expected, rel=0.08)


def test_interval_agrees_with_scipys_percentile_bootstrap():
    stats = pytest.importorskip("scipy.stats")
    series = SERIES[2]
    found = interval(lambda rows: rows.mean(axis=1), series, scheme="trades", block=1, draws=9_000)
    theirs = stats.bootstrap(
        (series,), np.mean, n_resamples=9_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert found.estimate == pytest.approx(series.mean())


@given(arrays(np.float64, (3, 20), elements=st.floats(-10, 10)))
def test_deepest_drawdowns_are_those_of_each_row(changes):
    expected = [ours.drawdown(np.cumsum(row)).max() for row in changes]
    assert deepest_drawdowns(changes).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scheme", ["trades", "block", "stationary"])
def test_rows_are_indices_and_the_seed_decides(scheme):
    first = np.concatenate(list(resamples(scheme, 50, 30, block=7, seed=1)))
    again = np.concatenate(list(resamples(scheme, 50, 30, block=7, seed=1)))
    other = np.concatenate(list(resamples(scheme, 50, 30, block=7, seed=2)))
    assert first.shape == (30, 50)
    assert first.min() >= 0
    assert first.max() < 50
    assert (first == again).all()
    assert (first != other).any()


def test_blocks_are_longer_where_neighbours_resemble():
    noise = np.random.default_rng(8).normal(size=1_000)
    assert block_length(np.cumsum(noise)) > 3 * block_length(noise)
    assert block_length(noise[:3]) == 1


@pytest.mark.parametrize(("n", "draws", "block"), [(0, 1, 1), (5, 0, 1), (5, 1, 6), (5, 1, 0)])
def test_what_cannot_be_drawn_is_refused(n, draws, block):
    with pytest.raises(InputError):
        next(resamples("block", n, draws, block=block))
