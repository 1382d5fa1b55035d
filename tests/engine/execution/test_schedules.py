"""Schedules against their closed forms: nothing at the start, everything at the end, never back."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import acosh, sinh

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution import AlmgrenChriss, Curve, Linear

SECOND = 10**9
weights = st.lists(st.decimals(0, 100, places=2), min_size=1, max_size=30).filter(any)
totals, durations = st.integers(1, 10**9), st.integers(1, 10**6).map(lambda ms: ms * 10**6)


def schedules(duration_ns, curve):
    return (
        Linear(duration_ns),
        Curve(duration_ns, curve),
        AlmgrenChriss(duration_ns, max(1, duration_ns // 10), risk_aversion=1e-3, volatility=2.0, impact=0.1),
    )


@given(total=totals, duration_ns=durations, curve=weights, at=st.lists(st.integers(-(10**9), 10**15), min_size=2))
def test_a_schedule_begins_with_nothing_never_goes_back_and_ends_whole(total, duration_ns, curve, at):
    for schedule in schedules(duration_ns, curve):
        lots = [schedule.by(total, after) for after in sorted(at)]
        assert lots == sorted(lots)
        assert schedule.by(total, 0) == schedule.by(total, -1) == 0
        assert schedule.by(total, duration_ns) == schedule.by(total, duration_ns + 1) == total
        assert all(0 <= n <= total for n in lots)


@given(total=totals, duration_ns=durations, curve=weights, share=st.fractions(0, 1))
def test_a_curve_is_its_integral_rounded_down(total, duration_ns, curve, share):
    after = int(share * duration_ns)
    exact, part = Fraction(0), Fraction(duration_ns, len(curve))
    for at, weight in enumerate(curve):
        exact += Fraction(weight) * min(max(after - at * part, Fraction(0)), part) / part
    expected = total if after >= duration_ns else int(total * exact / Fraction(sum(curve)))
    assert Curve(duration_ns, curve).by(total, after) == expected


def test_a_flat_curve_is_linear():
    flat, linear = Curve(60 * SECOND, [Decimal(2)] * 6), Linear(60 * SECOND)
    assert all(flat.by(999, s * SECOND // 7) == linear.by(999, s * SECOND // 7) for s in range(500))


@pytest.mark.parametrize("risk_aversion", [1e-9, 1e-6, 1e-4, 1e-2, 1.0, 100.0])
def test_almgren_chriss_is_the_hyperbolic_trajectory(risk_aversion):
    sigma, eta, tau, steps = 1.5, 0.2, 5.0, 24
    made = AlmgrenChriss(
        int(steps * tau * SECOND), int(tau * SECOND), risk_aversion=risk_aversion, volatility=sigma, impact=eta
    )
    kappa = acosh(1 + tau**2 * risk_aversion * sigma**2 / (2 * eta)) / tau
    assert made.kappa == pytest.approx(kappa, rel=1e-6)
    if kappa * steps * tau < 300:
        for j in range(steps + 1):
            left = sinh(kappa * (steps - j) * tau) / sinh(kappa * steps * tau)
            assert made.left(int(j * tau * SECOND)) == pytest.approx(left, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("risk_aversion", [1e-5, 1e-3, 1e-1])
def test_no_other_trajectory_has_less_cost_and_risk(risk_aversion):
    """The minimum of eta/tau * sum(n^2) + lambda * sigma^2 * tau * sum(x^2), solved as linear equations."""
    sigma, eta, tau, steps, whole = 1.5, 0.2, 5.0, 12, 100.0
    # x_0 = whole, x_N = 0; the gradient by x_j: 2 eta/tau (2 x_j - x_(j-1) - x_(j+1)) + 2 lambda sigma^2 tau x_j = 0.
    n = steps - 1
    matrix = np.diag(np.full(n, 2 * eta / tau + risk_aversion * sigma**2 * tau))
    matrix += np.diag(np.full(n - 1, -eta / tau), 1) + np.diag(np.full(n - 1, -eta / tau), -1)
    right = np.zeros(n)
    right[0] = whole * eta / tau
    best = np.linalg.solve(matrix, right)
    made = AlmgrenChriss(
        int(steps * tau * SECOND), int(tau * SECOND), risk_aversion=risk_aversion, volatility=sigma, impact=eta
    )
    left = [whole * made.left(int(j * tau * SECOND)) for j in range(1, steps)]
    assert left == pytest.approx(best.tolist(), rel=1e-6)


def test_without_risk_aversion_it_is_twap():
    made = AlmgrenChriss(60 * SECOND, SECOND, risk_aversion=1e-18, volatility=1.0, impact=1.0)
    assert all(abs(made.by(10_000, t * SECOND) - Linear(60 * SECOND).by(10_000, t * SECOND)) <= 1 for t in range(61))
