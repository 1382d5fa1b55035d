"""A step up needs its days and its results; a stage never lets more than the settings do, and stages only rise."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import InputError
from engine.risk_limits import capital, native_shares
from engine.services.ramp import Expected, Realised, Where, limited, objections, realised_of, terms_of, where
from engine.services.ramp_expected import expected_of, of_curve
from engine.services.ramp_settings import BOUNDS, RampExpected, RampSettings, RampStage
from engine.settings import EngineSettings, RiskLimits

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
STAGE = RampStage(capital=Decimal(1_000), days_min=5, drawdown_max=Decimal(50))
HOPED = Expected(10.0, 20.0)
GOOD = Realised(days=5, hours=120, result=50.0, drawdown=20.0)

amounts = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-2))
maybe = st.none() | amounts


@st.composite
def stages(draw):
    """Stages as settings accept them."""
    capitals = sorted(draw(st.sets(amounts, min_size=1, max_size=5)))
    bounds = {}
    for name in BOUNDS:
        given_at = sorted(draw(st.lists(amounts, min_size=len(capitals), max_size=len(capitals))))
        kept = draw(st.integers(0, len(capitals)))
        bounds[name] = [*given_at[:kept], *[None] * (len(capitals) - kept)]
    return tuple(
        RampStage(capital=whole, drawdown_max=Decimal(1), **{name: bounds[name][at] for name in BOUNDS})
        for at, whole in enumerate(capitals)
    )


@st.composite
def risks(draw):
    limits = {name: draw(amounts) for name in BOUNDS}
    whole = draw(maybe)
    most = limits["exposure_notional_max"] if whole is None else whole
    shares = {"a": max(most / 3, Decimal("0.01"))} if draw(st.booleans()) and most > 1 else {}
    return RiskLimits(**limits, capital=whole, shares=shares)


# --- limits


@given(stages(), risks())
def test_limits_are_never_above_settings_or_stage_and_rise_with_the_stage(ramp, risk):
    RampSettings(stages=ramp, expected=RampExpected(mean=Decimal(1), deviation=Decimal(1)))
    before = None
    for stage in ramp:
        assume(not risk.shares or (stage.capital > Decimal("0.1") and capital(risk) < 10**6))
        given_limits = limited(risk, stage)
        assert given_limits.capital <= min(stage.capital, capital(risk))
        for name in BOUNDS:
            ours, bound = getattr(given_limits, name), getattr(stage, name)
            assert ours == (getattr(risk, name) if bound is None else min(getattr(risk, name), bound))
        # Shares still fit, and no share grew.
        native_shares(given_limits, ("a", "b"), value_decimals=6)
        assert all(given_limits.shares[name] <= share for name, share in risk.shares.items())
        if before is not None:
            assert all(getattr(before, name) <= getattr(given_limits, name) for name in (*BOUNDS, "capital"))
        before = given_limits


def test_what_a_stage_does_not_name_is_as_it_was_and_its_file_is_read_again():
    risk = RiskLimits(capital=Decimal(900), shares={"a": Decimal(300)}, drawdown_max=Decimal(77))
    assert limited(risk, STAGE) == risk.model_copy(update={"capital": Decimal(900)})
    low = limited(risk, STAGE.model_copy(update={"capital": Decimal(90)}))
    assert (low.capital, low.shares, low.drawdown_max) == (90, {"a": Decimal(30)}, 77)
    assert RiskLimits.model_validate(low.model_dump(mode="json")) == low
    with pytest.raises(InputError, match=r"shares\.a is nothing"):
        limited(risk, STAGE.model_copy(update={"capital": Decimal("0.00000001")}))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"capital": 1_000}, "stage 2: capital 1000 is not above"),
        ({"capital": 2_000, "order_notional_max": 9}, "order_notional_max is below"),
    ],
)
def test_stages_that_do_not_rise_are_refused(more, message):
    second = {"capital": 2_000, "drawdown_max": 1, **more}
    with pytest.raises(ValidationError, match=message):
        RampSettings(stages=(STAGE, RampStage(**second)), expected=RampExpected(mean=1, deviation=1))


@pytest.mark.parametrize("given_part", [{}, {"mean": 1}, {"mean": 1, "deviation": 1, "backtest": "x"}])
def test_what_is_expected_has_one_source(given_part):
    with pytest.raises(ValidationError):
        RampExpected(**given_part)


# --- which stage


def test_what_is_not_known_or_was_edited_is_the_lowest_stage():
    three = tuple(STAGE.model_copy(update={"capital": Decimal(n)}) for n in (1, 2, 3))
    assert where(three, 2, terms_of(three, 2)) == Where(2)
    edited_above = (*three[:2], three[2].model_copy(update={"capital": Decimal(9)}))
    assert where(edited_above, 2, terms_of(three, 2)) == Where(2)
    for at in (0, 1):
        edited = list(three)
        edited[at] = three[at].model_copy(update={"days_min": 1})
        assert where(edited, 2, terms_of(three, 2)).number == 1
        assert "agreed" in where(edited, 2, terms_of(three, 2)).unknown
    for recorded in (None, 0, 4, -1):
        found = where(three, recorded, terms_of(three, 3))
        assert found.number == 1
        assert found.unknown


# --- what a stage brought


def test_results_of_runs_are_put_together_from_the_step_on():
    first = [(0, 0.0), (10 * HOUR, 500.0), *((DAY + n * HOUR, 500.0 + n) for n in range(24))]
    second = [*((2 * DAY + n * HOUR, -float(n)) for n in range(19))]
    found = realised_of([first, second], 10 * HOUR + 1)
    # The first run's 500 came before; then +23 over a whole day, then -18 in 19 hours: not a day.
    assert found == Realised(days=1, hours=24 + 19, result=23.0 - 18.0, drawdown=18.0)
    assert realised_of([first, second], 5 * DAY) == Realised(0, 0, 0.0, 0.0)
    assert realised_of([], 0) == Realised(0, 0, 0.0, 0.0)
    # A run that begins after the step begins with nothing: its first loss counts.
    assert realised_of([[(HOUR, -5.0)]], 0) == Realised(0, 1, -5.0, 5.0)
    with pytest.raises(InputError, match="nan"):
        realised_of([[(HOUR, math.nan)]], 0)


def test_good_results_pass_and_each_bound_refuses_by_itself():
    assert objections(STAGE, HOPED, GOOD) == ()
    for change, word in [
        ({"days": 4}, "4 whole days"),
        ({"result": 24.9}, "of the expected"),
        ({"drawdown": 50.1}, "drawdown"),
        ({"hours": 0}, "nothing to compare"),
        ({"result": math.nan}, "nothing to compare"),
    ]:
        values = {name: getattr(GOOD, name) for name in ("days", "hours", "result", "drawdown")}
        [reason] = objections(STAGE, HOPED, Realised(**values | change))
        assert word in reason
    # Ten a day less 2 * 2 / sqrt(5) is 8.21; half of the expected would do otherwise.
    [reason] = objections(STAGE, Expected(10.0, 2.0), Realised(5, 120, 41.0, 1.0))
    assert "less than 8.21" in reason
    assert objections(STAGE, Expected(0.0, 1.0), GOOD) != ()


results = st.floats(-1e6, 1e6)


@given(st.integers(0, 30), st.integers(0, 720), results, st.floats(0, 1e6), st.floats(0.01, 1e4), st.floats(0, 1e4))
def test_no_step_up_without_days_results_and_drawdown(days, hours, result, drawdown, mean, deviation):
    realised, hoped = Realised(days, hours, result, drawdown), Expected(mean, deviation)
    if objections(STAGE, hoped, realised):
        return
    assert days >= 5
    assert hours > 0
    assert drawdown <= 50
    assert result >= 0.5 * mean * hours / 24
    assert result / (hours / 24) >= mean - 2 * deviation / math.sqrt(hours / 24)
    # What is better in one way is not worse in all.
    assert not objections(STAGE, hoped, Realised(days + 1, hours, result + 1, drawdown / 2))


# --- what is expected, and the settings


def test_expected_is_scaled_to_the_capital(tmp_path):
    part = RampExpected(mean=Decimal(10), deviation=Decimal(4))
    assert expected_of(part, tmp_path, 500.0) == Expected(10.0, 4.0)
    assert expected_of(part.model_copy(update={"capital": Decimal(1_000)}), tmp_path, 500.0) == Expected(5.0, 2.0)
    with pytest.raises(InputError):
        expected_of(RampExpected(backtest="nowhere/result.json"), tmp_path, 1.0)


def test_days_of_a_backtest_are_what_is_expected():
    times = np.array([0, 1, 2, 3, 4, 5, 5.5]) * DAY
    found = of_curve(np.array([0.0, 3, 4, 9, 8, 10, 99]), times.astype(np.int64))
    assert found.mean == 2.0
    assert found.deviation == pytest.approx(np.std([3, 1, 5, -1, 2], ddof=1))
    with pytest.raises(InputError, match="4 whole days"):
        of_curve(np.zeros(5), np.arange(5) * DAY)
    with pytest.raises(InputError, match="no gain"):
        of_curve(-np.arange(7.0), np.arange(7) * DAY)


def test_settings_without_a_ramp_have_none():
    assert EngineSettings().ramp is None
