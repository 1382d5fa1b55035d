"""The integer powers are powers: near the real ones, monotonous, and refused where the contract has no number."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.replicas.stable_math import balancer_balance_up, balancer_invariant_up, curve_balance, curve_invariant
from dex.replicas.weighted_math import ONE, power, power_up

_EXACT = Context(prec=80)


@given(base=st.integers(10**15, 10**22), exponent=st.integers(10**15, 5 * ONE))
def test_powers_err_by_less_than_the_contract_assumes(base: int, exponent: int) -> None:
    real = _EXACT.power(Decimal(base).scaleb(-18), Decimal(exponent).scaleb(-18)) * ONE
    if not 1000 < real < Decimal(10) ** 70:
        return
    assert abs(power(base, exponent) - real) <= real * Decimal("1e-14") + 1
    assert power_up(base, exponent) >= real


def test_powers_of_nothing_and_beyond_the_numbers() -> None:
    assert power(7 * ONE, 0) == ONE
    assert power(0, ONE) == 0
    for base, exponent in ((10**40, 10 * ONE), (1, 3 * ONE)):
        with pytest.raises(OverflowError):
            power(base, exponent)


@given(
    balances=st.lists(st.integers(10**20, 10**25), min_size=2, max_size=4),
    amplification=st.integers(1, 5000),
    data=st.data(),
)
def test_a_balance_follows_from_the_invariant_and_the_others(
    balances: list[int], amplification: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(balances) - 1))
    if max(balances) > 1000 * min(balances):
        return
    d = curve_invariant(amplification * 100, balances)
    assert (
        abs(curve_balance(amplification * 100, balances, d, index) - balances[index]) <= balances[index] // 10**12 + 4
    )
    try:
        up = balancer_invariant_up(amplification * 1000, balances)
    except OverflowError:  # Rounded up at every step it may go round in circles, which the contract refuses, too.
        return
    assert abs(up - d) <= d // 10**15 + 8  # The two protocols mean the same invariant.
    assert (
        abs(balancer_balance_up(amplification * 1000, balances, up, index) - balances[index])
        <= balances[index] // 10**12 + 8
    )
    assert min(balances) * len(balances) <= d <= sum(balances)


def test_what_the_contract_cannot_hold_is_no_number_here() -> None:
    with pytest.raises(OverflowError):
        balancer_invariant_up(10**5, [10**60, 10**60])
    with pytest.raises(OverflowError):
        curve_invariant(10**4, [10**60, 10**60])
