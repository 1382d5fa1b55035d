"""Settings become the gate's whole numbers, rounded to the safe side."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import InputError
from engine.risk_limits import native_limits, native_shares, order_lots_max
from engine.settings import KillSettings, RiskLimits


def test_values_are_counted_in_smallest_units_rounded_down() -> None:
    limits = RiskLimits(
        order_notional_max=Decimal("1000.555"),
        price_collar_bps=Decimal("12.345"),
        drawdown_max=Decimal("0.009"),
        kill=KillSettings(cancel_again_s=Decimal("0.0000000015"), flatten_collar_bps=Decimal(20_000)),
    )
    native = native_limits(limits, value_decimals=2)
    assert (native["order_value_max"], native["collar_ppm"]) == (100_055, 1_234)
    assert native["losses"]["drawdown"] == (0, 2)
    assert native["kill"]["cancel_again_ns"] == 2
    assert native["kill"]["flatten_collar_ppm"] == 999_999


def test_each_limit_names_its_stage_and_those_not_set_are_not_watched() -> None:
    native = native_limits(
        RiskLimits(daily_loss_max=Decimal(5), daily_loss_stage="flatten", strategy_loss_velocity_max=Decimal(1)),
        value_decimals=0,
    )
    assert native["losses"] == {
        "drawdown": (500, 2),
        "total": None,
        "daily": (5, 3),
        "velocity": None,
        "velocity_window_ns": 60 * 10**9,
    }
    assert native["strategy_losses"]["velocity"] == (1, 2)
    with pytest.raises(ValidationError):
        RiskLimits(drawdown_stage="running")  # type: ignore[arg-type]


def test_strategies_without_a_named_share_divide_what_is_left() -> None:
    limits = RiskLimits(capital=Decimal(100), shares={"b": Decimal(50)})
    assert native_shares(limits, ("a", "b", "c", "d"), value_decimals=0) == [16, 50, 16, 16]
    # Without a capital of its own it is what may be exposed.
    assert native_shares(RiskLimits(), ("a",), value_decimals=1) == [100_000]
    with pytest.raises(InputError, match="no strategy x"):
        native_shares(RiskLimits(shares={"x": Decimal(1)}), ("a",), value_decimals=0)
    with pytest.raises(InputError, match="more than the capital"):
        native_shares(RiskLimits(shares={"a": Decimal(10_001)}), ("a",), value_decimals=0)


@given(st.integers(1, 10**6), st.lists(st.integers(1, 10**5), max_size=4), st.integers(1, 4), st.integers(0, 18))
def test_shares_never_sum_to_more_than_the_capital(whole: int, named: list[int], others: int, decimals: int) -> None:
    shares = {f"n{at}": Decimal(share) for at, share in enumerate(named)}
    names = [*shares, *(f"o{at}" for at in range(others))]
    limits = RiskLimits(capital=Decimal(whole), shares=shares)
    if sum(named) > whole:
        with pytest.raises(InputError):
            native_shares(limits, names, value_decimals=decimals)
    else:
        given_shares = native_shares(limits, names, value_decimals=decimals)
        assert 0 <= sum(given_shares) <= whole * 10**decimals
        assert min(given_shares) >= 0


def test_the_largest_order_is_whole_lots() -> None:
    limits = RiskLimits(order_qty_max={"ETH": Decimal("1.00005")})
    assert order_lots_max(limits, "ETH", Decimal("0.0001")) == 10_000
    assert order_lots_max(limits, "BTC", Decimal("0.0001")) == 0
    with pytest.raises(InputError, match="less than one lot"):
        order_lots_max(limits, "ETH", Decimal(2))
