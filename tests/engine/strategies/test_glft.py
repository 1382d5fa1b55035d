"""GLFT quotes against the optimum itself, the intensity fit against known intensities, and both in a market."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domain import Side
from engine.strategies.glft import Glft, GlftSettings
from engine.strategies.intensity import exp, fit, reached
from tests.engine.sdk.runs import BTC, market, records, run
from tests.engine.strategies.desk import Desk

BASE = {"instrument": "one:ETHUSDC", "qty": "0.1", "inventory_max": "0.5", "requote_bps": "0"}


def model(*, gamma, k, a, sigma):
    """The strategy's distances with a model given, volatility included."""
    made = Glft(
        GlftSettings(**BASE | {"spread_min_bps": "0"}, risk_aversion=gamma, decay=k, intensity=a,
                     volatility_floor_bps=sigma)
    )  # fmt: skip
    return made.distances_bps


def optimum(*, gamma, k, a, sigma, most=60):
    """Distances to bid and ask by inventory, far from the horizon's end, without the approximation.

    Guéant, Lehalle, Fernandez-Tapia (2013), theorem 2: with f the eigenvector to the smallest eigenvalue of the
    tridiagonal matrix of α·q² and -η, δ_bid(q) = ln(f_q / f_{q+1}) / k + ln(1 + γ/k) / γ, δ_ask(q) alike with q - 1.
    """
    q = np.arange(-most, most + 1)
    alpha, eta = k * gamma * sigma**2 / 2, a * (1 + gamma / k) ** -(1 + k / gamma)
    matrix = np.diag(alpha * q**2.0) - eta * (np.eye(len(q), k=1) + np.eye(len(q), k=-1))
    f = np.abs(np.linalg.eigh(matrix)[1][:, 0])
    base = math.log(1 + gamma / k) / gamma
    return lambda n: (
        math.log(f[most + n] / f[most + n + 1]) / k + base,
        math.log(f[most + n] / f[most + n - 1]) / k + base,
    )


@pytest.mark.parametrize(
    "parameters",
    [
        # The paper's own example: σ 0.3, A 0.9, k 0.3, γ 0.01, in ticks.
        {"gamma": 0.01, "k": 0.3, "a": 0.9, "sigma": 0.3},
        {"gamma": 0.05, "k": 0.5, "a": 1.0, "sigma": 0.3},
    ],
)
@pytest.mark.parametrize("orders", [-3, -1, 0, 1, 4])
def test_distances_are_near_the_optimum(parameters, orders):
    assert model(**parameters)(orders) == pytest.approx(optimum(**parameters)(orders), rel=0.03)


def test_distances_are_the_closed_form():
    gamma, k, a, sigma, q = 0.05, 0.5, 2.0, 1.5, 2
    c = math.sqrt(gamma / (2 * k * a) * (1 + gamma / k) ** (1 + k / gamma))
    half = math.log(1 + gamma / k) / gamma
    assert model(gamma=gamma, k=k, a=a, sigma=sigma)(q) == pytest.approx(
        (half + (2 * q + 1) / 2 * sigma * c, half - (2 * q - 1) / 2 * sigma * c), rel=1e-9
    )


# --- intensity


@pytest.mark.parametrize(("a", "k"), [(1.5, 0.4), (0.3, 1.2)])
def test_fit_finds_the_intensity_that_made_the_reaches(a, k):
    random, counts, seconds = np.random.default_rng(3), [0.0] * 40, 40_000
    for distance in random.exponential(1 / k, random.poisson(a * seconds)):
        reached(counts, distance, 0.25)
    assert fit(counts, seconds, 0.25) == pytest.approx((a, k), rel=0.03)


def test_too_little_fits_nothing():
    assert fit([100.0, 9.0, 4.0, 1.0], 10.0, 1.0) is None
    assert fit([100.0, 9.0, 9.0, 9.0], 10.0, 1.0) is None
    assert fit([100.0, 9.0, 8.0, 7.0], 0.0, 1.0) is None
    assert fit([100.0, 9.0, 8.0, 7.0], 10.0, 1.0) is not None


@pytest.mark.parametrize("x", [-30.0, -1.0, 0.0, 0.5, 30.0])
def test_exponential(x):
    assert exp(x) == pytest.approx(math.exp(x), rel=1e-14)


# --- in a market


def desk(**settings):
    return Desk(GlftSettings(**{**BASE, **settings}))


def test_quotes_lean_and_the_full_side_is_left_out():
    made = desk(inventory_max="0.1", risk_aversion="0.5", volatility_floor_bps="1")
    made.book(299_990, 300_010)
    (bid, _), (ask, _) = made.quotes(Side.BUY)[0], made.quotes(Side.SELL)[0]
    assert bid + ask == pytest.approx(600_000, abs=1)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_990, 300_010)
    assert made.quotes(Side.BUY) == []
    assert 299_990 < made.quotes(Side.SELL)[0][0] < ask


def test_wild_markets_are_quoted_wider():
    made = desk(volatility_halflife_s="1")
    made.book(299_990, 300_010)
    calm = made.quotes(Side.SELL)[0][0] - made.quotes(Side.BUY)[0][0]
    for shift in (500, 0, 500, 0):
        made.book(299_990 + shift, 300_010 + shift)
    assert made.quotes(Side.SELL)[0][0] - made.quotes(Side.BUY)[0][0] > calm


def test_stale_book_and_stop_withdraw():
    made = desk()
    made.book(299_990, 300_010)
    made.lose_book()
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []
    made.book(299_990, 300_010)
    assert len(made.resting(Side.BUY)) == 1
    made.stop()
    made.book(299_990, 300_010)
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []


def test_it_learns_from_public_trades_and_trades():
    settings = GlftSettings(
        instrument=BTC.name, qty="0.01", inventory_max="0.1", risk_aversion="0.5", fit_every_s="5",
        fit_depth_bps="0.4", spread_min_bps="0", requote_bps="0",
    )  # fmt: skip
    strategy = Glft(settings)
    made = run(strategy, market(seconds=60))
    intensity, decay = strategy._model
    assert (intensity, decay) != (1.0, 0.5)
    assert intensity > 0
    assert decay > 0
    fills, _ = records(made)
    assert len(fills) > 20
    assert abs(made.standing(0, 0)[0]) <= 110
    other = Glft(settings)
    other.restore(strategy.state())
    assert other.state() == strategy.state()
