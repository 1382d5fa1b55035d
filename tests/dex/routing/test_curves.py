"""Curves: splits are optimal, composition is what quoting one pool after another gives, inverses undo."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.routing.curves import Curve, fitted_curve, path_curve, split_in, split_out


@st.composite
def curves(draw):
    """A concave curve: each piece begins at a price at most that at the end of the one before."""
    curve, price = Curve(), draw(st.floats(0.1, 10))
    for _ in range(draw(st.integers(1, 5))):
        r_in = draw(st.floats(1e3, 1e9))
        size = draw(st.floats(1e2, 1e8))
        curve.add(r_in, price * r_in, size)
        price = curve.price_at(curve.capacity * (1 - 1e-15)) * draw(st.floats(0.5, 1))
        if not price:
            break
    if draw(st.booleans()):
        curve.size[-1] = math.inf
    return curve


def grid_best(parts, total, steps):
    """The best of all splits on a grid, by dynamic programming."""
    best = [0.0] + [-math.inf] * steps
    for curve in parts:
        gives = [
            curve.out_at(total * k / steps) if total * k / steps <= curve.capacity else -math.inf
            for k in range(steps + 1)
        ]
        best = [max(best[k - j] + gives[j] for j in range(k + 1)) for k in range(steps + 1)]
    return best[steps]


@given(st.lists(curves(), min_size=1, max_size=4), st.floats(0.01, 0.99))
def test_a_split_takes_all_and_beats_every_split_of_a_grid(parts, share):
    total = min(sum(curve.capacity for curve in parts), 1e9) * share
    inputs, price = split_in(parts, total)
    assert sum(inputs) == pytest.approx(total, rel=1e-6)  # Floats: what is lost belongs to reserves of 1e9.
    gives = sum(curve.out_at(amount) for curve, amount in zip(parts, inputs, strict=True))
    assert gives >= grid_best(parts, total, 20) * (1 - 1e-6)
    for curve, amount in zip(parts, inputs, strict=True):  # Nobody who is left out would have paid more.
        assert curve.price_at(amount * (1 + 1e-9)) <= price * (1 + 1e-6)


@given(st.lists(curves(), min_size=1, max_size=4), st.floats(0.01, 0.99))
def test_an_output_costs_the_input_that_gives_it(parts, share):
    total = min(sum(curve.capacity for curve in parts), 1e9) * share
    inputs, _ = split_in(parts, total)
    wanted = sum(curve.out_at(amount) for curve, amount in zip(parts, inputs, strict=True))
    outputs, _ = split_out(parts, wanted)
    assert sum(outputs) == pytest.approx(wanted, rel=1e-6)
    # A marginal price that is nearly nothing says little about the input: compare what it gives.
    costs = [curve.in_for(min(amount, curve.out_at_end)) for curve, amount in zip(parts, outputs, strict=True)]
    spare = grid_best(parts, min(sum(costs), 1e12), 20)
    assert spare <= wanted * (1 + 1e-6)


@given(curves(), st.floats(0.001, 0.999))
def test_what_an_output_takes_gives_it(curve, share):
    wanted = curve.out_at(min(curve.capacity, 1e9) * share)
    assert curve.out_at(curve.in_for(wanted)) == pytest.approx(wanted, rel=1e-9)


@given(st.lists(curves(), min_size=2, max_size=3), st.floats(0.001, 0.999))
def test_a_path_is_a_curve(parts, share):
    whole = path_curve(parts)
    amount = min(whole.capacity, 1e9) * share
    step = amount
    for curve in parts:
        step = curve.out_at(step)
    assert whole.out_at(amount) == pytest.approx(step, rel=1e-6)


def test_more_than_there_is_is_left_over():
    curve = Curve()
    curve.add(1000.0, 1000.0, 50.0)
    assert split_in([curve], 80.0) == ([50.0], 0.0)
    assert split_out([curve], 80.0) == ([curve.out_at_end], 0.0)
    assert curve.in_for(80.0) == math.inf


def test_a_fitted_curve_passes_through_its_points_and_never_lies_far_above():
    points = [(float(x), 1e4 * math.log1p(x / 1e4)) for x in range(0, 10_001, 500)]
    slopes = [1 / (1 + x / 1e4) for x, _ in points]
    curve = fitted_curve(points, slopes)
    for x, y in points:
        assert curve.out_at(x) == pytest.approx(y, rel=1e-12)
    for x in range(37, 10_000, 111):
        assert curve.out_at(x) == pytest.approx(1e4 * math.log1p(x / 1e4), rel=1e-4)
