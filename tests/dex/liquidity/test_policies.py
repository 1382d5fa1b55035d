"""Range policies: where liquidity goes, and when it moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.liquidity import Range
from dex.liquidity.policies import (
    InventoryDriven,
    Outlook,
    Static,
    VolatilityScaled,
    around,
    wants_rebalancing,
)
from dex.replicas.tick_math import MAX_TICK, MIN_TICK
from domain import InputError

ticks, spacings = st.integers(MIN_TICK + 200, MAX_TICK - 200), st.sampled_from([1, 10, 60, 200])


@given(ticks, spacings, st.floats(0.001, 900))
def test_a_static_range_is_on_the_spacing_around_the_price(tick, spacing, percent):
    span = Static(percent).range_for(Outlook(tick=tick, spacing=spacing))
    assert span.lower <= tick < span.upper
    assert span.lower % spacing == span.upper % spacing == 0
    reach = math.log1p(percent / 100) / math.log(1.0001)
    if MIN_TICK + 2 * reach < tick < MAX_TICK - 2 * reach:
        assert span.upper - span.lower <= 2 * reach + 2 * spacing + 1
        assert span.holds(round(tick + reach) - spacing) or reach < spacing


def test_more_volatility_or_a_longer_horizon_makes_it_wider():
    policy = VolatilityScaled(horizon_s=86_400)
    calm, wild = (Outlook(tick=0, spacing=10, volatility_day=v) for v in (0.01, 0.05))
    assert width(policy.range_for(calm)) < width(policy.range_for(wild))
    longer = VolatilityScaled(horizon_s=4 * 86_400)
    # Over four days it goes twice as far as over one.
    assert width(longer.range_for(calm)) == pytest.approx(2 * width(policy.range_for(calm)), rel=0.06)
    frantic = Outlook(tick=0, spacing=10, volatility_day=5.0)
    assert policy.range_for(frantic) == around(0, 10, policy.widest_percent)
    with pytest.raises(InputError, match="not known"):
        policy.range_for(Outlook(tick=0, spacing=10))


def test_who_holds_too_much_of_token_0_gets_room_to_sell_it():
    policy = InventoryDriven(Static(5.0), target0=0.5, lean=0.8)
    spans = [policy.range_for(Outlook(tick=0, spacing=10, share0=share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert spans[2] == Static(5.0).range_for(Outlook(tick=0, spacing=10))
    assert [span.lower for span in spans] == sorted({span.lower for span in spans})
    assert all(span.holds(0) for span in spans)
    assert len({width(span) for span in spans}) == 1


@given(ticks, spacings, st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0, 1), st.floats(0.01, 100))
def test_however_far_it_leans_the_price_stays_inside(tick, spacing, share, target, lean, percent):
    policy = InventoryDriven(Static(percent), target0=target, lean=lean)
    span = policy.range_for(Outlook(tick=tick, spacing=spacing, share0=share))
    assert span.holds(tick)


def test_small_wishes_wait_and_a_price_outside_does_not():
    wanted, held = Range(-1000, 1000), Range(-900, 1100)
    assert not wants_rebalancing(held, Outlook(tick=0, spacing=10), wanted)
    assert wants_rebalancing(held, Outlook(tick=0, spacing=10), wanted, slack=0.01)
    assert wants_rebalancing(held, Outlook(tick=1100, spacing=10), wanted)


def test_what_is_no_part_of_one_is_refused():
    for policy in (InventoryDriven(Static(5.0), target0=0.0), InventoryDriven(Static(5.0), lean=1.5)):
        with pytest.raises(InputError, match="parts of one"):
            policy.range_for(Outlook(tick=0, spacing=10))
    with pytest.raises(InputError, match="positive percentage"):
        around(0, 10, 0)


def width(span):
    return span.upper - span.lower
