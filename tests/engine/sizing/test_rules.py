"""Sizes against closed forms, against brute force over a grid, and their bounds under Hypothesis."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.errors import InputError
from engine.sizing import (
    AtrSizing,
    FixedFractionSizing,
    KellySizing,
    Sizing,
    SizingInputs,
    VolatilityTargetSizing,
    atr_units,
    fixed_fraction,
    fixed_fractional,
    kelly_binary,
    kelly_capped,
    kelly_continuous,
    kelly_of_returns,
    lots_down,
    volatility_target,
    volatility_target_exposure,
)

RULES = TypeAdapter(Sizing)
money = st.floats(0, 1e9)
amount = st.floats(1e-6, 1e6)


def test_a_stop_that_is_hit_loses_exactly_the_share_that_was_risked():
    units = fixed_fractional(10_000, 100.0, 2.5, 0.01, leverage_max=1)
    assert units * 2.5 == pytest.approx(100.0, rel=1e-12)
    assert atr_units(10_000, 100.0, 1.25, risk=0.01, multiple=2, leverage_max=1) == units


def test_a_stop_too_close_is_bounded_by_leverage():
    assert fixed_fractional(10_000, 100.0, 1e-9, 0.01, leverage_max=2) == 200.0


def test_a_fixed_fraction_is_worth_that_fraction():
    assert fixed_fraction(10_000, 250.0, 0.5) * 250.0 == 5_000


# Thorp (1997): a coin of 0.53 at even money is 0.06; the others are p/a - q/b by hand.
@pytest.mark.parametrize(
    ("p", "gain", "loss", "fraction"),
    [(0.53, 1, 1, 0.06), (0.6, 1, 1, 0.2), (0.5, 2, 1, 0.25), (0.4, 1, 1, -0.2), (0.6, 0.2, 0.1, 4.0)],
)
def test_kelly_of_a_coin_is_the_closed_form_and_grows_fastest(p, gain, loss, fraction):
    assert kelly_binary(p, gain, loss) == pytest.approx(fraction, abs=1e-12)
    # Brute force: no fraction of a fine grid grows faster.
    grid = np.linspace(-0.9 / gain, 0.9 / loss, 40_001)
    growth = p * np.log1p(grid * gain) + (1 - p) * np.log1p(-grid * loss)
    assert grid[growth.argmax()] == pytest.approx(fraction, abs=2 * (grid[1] - grid[0]))


def test_kelly_of_observed_returns_agrees_with_the_coin_it_was_made_of():
    returns = [0.2] * 60 + [-0.1] * 40
    assert kelly_of_returns(returns) == pytest.approx(kelly_binary(0.6, 0.2, 0.1), rel=1e-12)
    assert kelly_of_returns([-r for r in returns]) == pytest.approx(-4.0, rel=1e-12)


def test_kelly_of_observed_returns_is_the_maximum_over_a_grid():
    returns = np.random.default_rng(7).standard_t(4, 400) * 0.02 + 0.002
    found = kelly_of_returns(returns.tolist())
    grid = np.linspace(-10, 10, 20_001)
    safe = grid[(1 + np.outer(grid, returns)).min(axis=1) > 0]
    growth = np.log1p(np.outer(safe, returns)).mean(axis=1)
    assert found == pytest.approx(safe[growth.argmax()], abs=1e-3)


def test_kelly_of_small_steps_is_mean_over_variance():
    mean, deviation = 1e-5, 1e-3
    # Two equal outcomes are exactly mean/(deviation² - mean²).
    assert kelly_of_returns([mean + deviation, mean - deviation], exposure_max=100) == pytest.approx(
        mean / (deviation**2 - mean**2), rel=1e-9
    )
    assert kelly_continuous(mean, deviation**2) == pytest.approx(10.0)


def test_kelly_stops_before_ruin_and_at_its_bound():
    assert kelly_of_returns([0.5, -0.1]) == pytest.approx(4.0)
    assert kelly_of_returns([0.01, 0.02]) == pytest.approx(10.0)
    assert kelly_of_returns([1.0] * 99 + [-0.5]) < 2.0
    assert kelly_of_returns([]) == 0.0


@pytest.mark.parametrize(("p", "gain", "loss"), [(1.1, 1, 1), (-0.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1)])
def test_what_is_no_bet_is_refused(p, gain, loss):
    with pytest.raises(InputError, match="no bet"):
        kelly_binary(p, gain, loss)


def test_kelly_is_halved_and_capped_either_way():
    assert kelly_capped(0.2) == pytest.approx(0.1)
    assert kelly_capped(4.0) == 0.25
    assert kelly_capped(-4.0, cap=0.1) == -0.1


def test_returns_scaled_to_a_volatility_target_have_it():
    returns = np.random.default_rng(3).normal(0, 0.03, 5_000)
    exposure = volatility_target_exposure(float(returns.std()), 0.01, leverage_max=5)
    assert (returns * exposure).std() == pytest.approx(0.01, rel=1e-12)
    assert volatility_target(10_000, 50.0, float(returns.std()), 0.01) * 50.0 == pytest.approx(10_000 * exposure)
    assert volatility_target_exposure(1e-9, 0.01, leverage_max=3) == 3


@given(equity=money, price=amount, stop=st.floats(0, 1e4), share=st.floats(0.001, 1), leverage=st.floats(0.1, 10))
def test_no_size_is_negative_nor_worth_more_than_its_bound(equity, price, stop, share, leverage):
    for units in (
        fixed_fractional(equity, price, stop, share, leverage_max=leverage),
        volatility_target(equity, price, stop, share, leverage_max=leverage),
        atr_units(equity, price, stop, risk=share, multiple=2, leverage_max=leverage),
    ):
        assert units >= 0
        assert units * price <= equity * leverage * (1 + 1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "fixed-fraction"},
        {"kind": "fixed-fractional"},
        {"kind": "kelly"},
        {"kind": "volatility-target", "target": "0.01"},
        {"kind": "atr"},
    ],
)
def test_every_rule_gives_nothing_before_its_inputs_and_a_bounded_size_after(settings):
    rule = RULES.validate_python({**settings, "leverage_max": "0.5"})
    unknown = SizingInputs(equity=1_000, price=0)
    known = SizingInputs(equity=1_000, price=10, stop_distance=1, atr=0.5, volatility=0.02, mean=0.001, variance=0.0004)
    assert rule.units(unknown) == 0
    assert 0 < rule.units(known) <= 50


def test_the_rules_are_their_functions():
    inputs = SizingInputs(1_000, 10, atr=0.5, volatility=0.04, mean=-0.001, variance=0.0004)
    assert AtrSizing().units(inputs) == 10.0
    assert VolatilityTargetSizing(target="0.01").units(inputs) == 25.0
    assert KellySizing().units(inputs) == -25.0  # -2.5 halved is beyond the cap of 0.25 equities
    assert FixedFractionSizing(fraction="3", leverage_max="2").units(inputs) == 200.0


@pytest.mark.parametrize("bad", [{"kind": "martingale"}, {"kind": "atr", "risk": "1.5"}, {"kind": "kelly", "cap": 0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        RULES.validate_python(bad)


@given(lots=st.integers(-(10**12), 10**12), decimals=st.integers(0, 8))
def test_whole_lots_written_as_floats_come_back_whole(lots, decimals):
    lot = float(Fraction(1, 10**decimals))
    units = float(Fraction(lots, 10**decimals))
    if float(Fraction(repr(units))) == units and len(str(abs(lots))) <= 15:
        assert lots_down(units, lot) == lots


@given(units=st.floats(-1e9, 1e9), lot=st.sampled_from([1e-8, 0.001, 0.1, 1.0, 5.0]), most=st.integers(0, 10**9))
def test_lots_go_toward_zero_and_stop_at_the_most(units, lot, most):
    lots = lots_down(units, lot)
    assert abs(lots) * Fraction(repr(lot)) <= abs(Fraction(repr(units))) < (abs(lots) + 1) * Fraction(repr(lot))
    assert abs(lots_down(units, lot, most)) == min(abs(lots), most)
    assert lots_down(-units, lot) == -lots


def test_what_is_no_number_is_no_lot():
    assert lots_down(float("nan"), 0.1) == lots_down(float("inf"), 0.1) == lots_down(1.0, 0.0) == 0
    assert lots_down(0.3, 0.1) == 3
    assert lots_down(1e300, 1e-8) == 10**308
