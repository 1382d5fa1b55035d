"""What is swapped before liquidity is provided again uses up both tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.liquidity import Range, amounts_up, liquidity_down
from dex.liquidity.rebalancing import balancing
from dex.replicas.tick_math import sqrt_price_at
from domain import InputError


@given(
    st.integers(-50_000, 50_000),
    st.integers(-3_000, 3_000),
    st.integers(10, 5_000),
    st.integers(0, 10**24),
    st.integers(10**20, 10**24),
)
def test_after_the_swap_almost_nothing_is_left_over(tick, off, half, held0, held1):
    price, span = sqrt_price_at(tick), Range(tick + off - half, tick + off + half)
    fit = balancing(price, tick, span, (held0, held1))
    other = fit.amount * price**2 // 2**192 if fit.is_zero_in else fit.amount * 2**192 // price**2
    moved = (-fit.amount, other) if fit.is_zero_in else (other, -fit.amount)
    now = held0 + moved[0], held1 + moved[1]
    assert min(now) >= 0
    used = amounts_up(price, tick, span, liquidity_down(price, span, *now))
    worth0 = max(1, held0 + held1 * 2**192 // price**2)
    worth1 = max(1, held1 + held0 * price**2 // 2**192)
    assert (now[0] - used[0]) / worth0 < 1e-6
    assert (now[1] - used[1]) / worth1 < 1e-6


def test_nothing_to_provide_is_refused():
    with pytest.raises(InputError, match="nothing to provide"):
        balancing(2**96, 0, Range(-10, 10), (0, 0))
