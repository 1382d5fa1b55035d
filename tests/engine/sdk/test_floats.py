"""Logarithm and decay without the C library: close to it, and fixed to the last bit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sdk.floats import half_to_the, ln


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_ln_is_the_librarys_to_a_few_units_in_the_last_place(x):
    assert ln(x) == pytest.approx(math.log(x), rel=4e-16, abs=4e-16)


@given(st.floats(min_value=0, max_value=900))
def test_decay_is_the_librarys_to_a_few_units_in_the_last_place(x):
    assert half_to_the(x) == pytest.approx(0.5**x, rel=2e-15)


def test_exact_points_are_exact():
    assert (ln(1.0), half_to_the(0.0), half_to_the(3.0), half_to_the(5_000.0)) == (0.0, 1.0, 0.125, 0.0)


@pytest.mark.parametrize(
    ("function", "x", "bits"),
    [
        # Golden bits: Rust must give the same doubles (native/engine/src/strategies/floats.rs has the same table).
        (ln, 1.2, "0x1.7565011e49674p-3"),
        (ln, 30000.0, "0x1.49e2f0b0af577p+3"),
        (half_to_the, 0.1, "0x1.ddb680117ab12p-1"),
        (half_to_the, 2.75, "0x1.306fe0a31b716p-3"),
    ],
)
def test_bits_are_fixed(function, x, bits):
    assert function(x).hex() == bits


@pytest.mark.parametrize("x", [0.0, -1.0, math.inf, math.nan])
def test_ln_of_what_has_none_is_an_error(x):
    with pytest.raises(ValueError, match="ln of"):
        ln(x)
