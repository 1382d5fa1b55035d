"""Advice: budgets in closed form, never above them, monotonic, and settings that the strategy takes."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.advise import app
from domain import InputError
from engine.services.advisory import GRID, Profile, advise
from engine.strategies.catalog import make
from engine.strategies.portfolio_rebalancing import PortfolioRebalancingSettings


def series(seed, volatilities, n=500, common=0.5):
    """Daily returns of assets that share a part."""
    draw = np.random.default_rng(seed)
    market = draw.normal(size=n)
    parts = [np.sqrt(common) * market + np.sqrt(1 - common) * draw.normal(size=n) for _ in volatilities]
    return {
        f"v:A{at}": part * one / np.sqrt(365) for at, (part, one) in enumerate(zip(parts, volatilities, strict=True))
    }


def test_the_budget_is_the_loss_of_a_year_in_twenty_and_grows_with_the_horizon():
    assert Profile(0.3290, 10).volatility_max == pytest.approx(0.2)
    assert Profile(0.3290, 5).volatility_max == pytest.approx(0.1)
    assert Profile(0.3290, 0).volatility_max == 0
    assert [Profile(loss, 10).name for loss in (0.01, 0.05, 0.15, 0.3, 0.6)] == [
        "capital preservation", "cautious", "balanced", "growth", "aggressive",
    ]  # fmt: skip


def test_two_alike_share_alike_and_the_whole_has_the_budgets_volatility():
    # Returns that are orthogonal and of one size: σ of half and half is σ / √2.
    a = np.tile([1.0, 1.0, -1.0, -1.0], 100) * 0.02
    b = np.tile([1.0, -1.0, 1.0, -1.0], 100) * 0.02
    made = advise(Profile(0.2, 10), {"v:A": a, "v:B": b}, periods_per_year=365)
    sigma = np.sqrt(np.var(a, ddof=1) * 365)
    expected = 0.2 / 1.645 / (sigma / np.sqrt(2)) / 2
    assert made.weights["v:A"] == made.weights["v:B"]
    assert float(made.weights["v:A"]) == pytest.approx(expected, abs=0.001)
    assert made.volatility == pytest.approx(0.2 / 1.645, abs=0.001)


def test_the_wilder_an_asset_the_less_of_it():
    made = advise(Profile(0.9, 10), series(1, [0.4, 0.8, 1.6]), periods_per_year=365, asset_max=1)
    shares = [float(weight) for weight in made.weights.values()]
    inverse = [1 / one for one in made.volatilities.values()]
    assert np.array(shares) / sum(shares) == pytest.approx(np.array(inverse) / sum(inverse), abs=0.002)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 6),
    loss=st.floats(0.01, 0.99),
    years=st.floats(0, 30),
    most=st.floats(0.05, 1),
)
def test_it_is_within_budget_and_caps_and_more_can_be_borne_never_means_less_risk(seed, count, loss, years, most):
    volatilities = np.random.default_rng(seed).uniform(0.2, 1.5, size=count)
    returns = series(seed, volatilities)
    made = advise(Profile(loss, years), returns, periods_per_year=365, asset_max=most)
    assert made.volatility <= made.profile.volatility_max + 1e-9
    assert sum(made.weights.values()) + made.cash == 1
    assert made.cash >= 0
    assert all(0 <= weight <= most + 1e-9 and weight % GRID == 0 for weight in made.weights.values())
    bolder = advise(Profile(min(0.99, loss * 1.2), years), returns, periods_per_year=365, asset_max=most)
    assert all(bolder.weights[name] >= weight for name, weight in made.weights.items())


def test_the_strategy_is_made_of_it():
    made = advise(Profile(0.2, 10), series(2, [0.5, 0.9]), periods_per_year=365)
    given = made.settings(Decimal(10_000))
    assert given.weights == made.weights
    assert make(given).instruments == ("v:A0", "v:A1")
    with pytest.raises(InputError, match="cash alone"):
        advise(Profile(0.2, 0), series(2, [0.5]), periods_per_year=365).settings(Decimal(1))


def test_what_cannot_be_advised_on_is_said():
    with pytest.raises(InputError, match="bearable"):
        Profile(1.0, 5)
    with pytest.raises(InputError, match="horizon"):
        Profile(0.1, -1)
    with pytest.raises(InputError, match="30 or more"):
        advise(Profile(0.1, 5), {"v:A": np.ones(5)}, periods_per_year=365)
    with pytest.raises(InputError, match="do not vary"):
        advise(Profile(0.1, 5), {"v:A": np.zeros(50)}, periods_per_year=365)


def test_the_command_advises_on_files_and_prints_a_strategy_that_loads(tmp_path):
    names = {}
    begin = datetime(2023, 1, 1, tzinfo=UTC)
    for name, one in series(3, [0.4, 0.9], n=200).items():
        closes = 100 * np.exp(np.cumsum(one))
        days = [f"{begin + timedelta(days=at):%Y-%m-%d %H:%M:%S}" for at in range(len(closes))]
        rows = [f"{day},{close},{close},{close},{close},1" for day, close in zip(days, closes, strict=True)]
        path = tmp_path / f"{name[2:]}.csv"
        path.write_text("date,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
        names[name] = path
    arguments = ["--loss", "0.2", "--years", "10", "--cash", "10000", *(f"{n}={p}" for n, p in names.items())]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    (strategy,) = tomllib.loads(run.output)["strategies"]
    assert PortfolioRebalancingSettings.model_validate(strategy).cash == 10_000
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert told["weights"] == strategy["weights"]
    assert told["volatility"] <= told["volatility_max"] + 1e-9
