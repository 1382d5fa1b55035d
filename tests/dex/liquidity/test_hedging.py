"""The hedge of a position: with it, a small move of the price changes nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.liquidity import PoolNow, Position, PositionId, Range
from dex.liquidity.hedging import exposure_raw, hedge
from dex.pools import PoolSpec
from dex.replicas.tick_math import sqrt_price_at
from domain import ChainId, InputError, token_asset
from domain.ids import PoolId
from tests.support.approvers import VAULT, address_of

CHAIN = ChainId(1)
A, B = (token_asset(CHAIN, address_of(name), name.upper(), 18) for name in ("a", "b"))
SPEC = PoolSpec(PoolId("p"), "v3", address_of("p"), CHAIN, A, B, address_of("a"), address_of("b"), 500)
SPAN = Range(-2000, 2000)


def position(tick, liquidity=10**24, fees=(0, 0)):
    pool = PoolNow(spec=SPEC, sqrt_price_x96=sqrt_price_at(tick), tick=tick, block_number=1, block_hash="0x")
    return Position(id=PositionId("v3", 1), owner=VAULT, pool=pool, span=SPAN, liquidity=liquidity, fees=fees)


def worth(held):
    price = held.pool.sqrt_price_x96
    return held.amounts[1] + held.amounts[0] * price**2 // 2**192


@given(st.integers(-1_900, 1_900))
def test_a_small_move_changes_a_hedged_position_by_the_square_of_it_only(tick):
    before, after = position(tick), position(tick + 10)
    moved = after.pool.sqrt_price_x96**2 - before.pool.sqrt_price_x96**2
    short = exposure_raw([before], A)
    own = worth(after) - worth(before)
    left = own - short * moved // 2**192
    # A tenth of a percent moved the worth by up to that much; what is left is a two-thousandth of it.
    assert left <= 2
    assert abs(left) < abs(own) / 400 + 10**20


def test_it_sells_what_is_held_and_leaves_small_changes_alone():
    held = position(0, fees=(3 * 10**17, 0))
    exposure = exposure_raw([held, held], A, beside_raw=10**18)
    assert exposure == 2 * (held.amounts[0] + 3 * 10**17) + 10**18
    first = hedge(exposure, A, lot_size=Decimal("0.1"), held_lots=0)
    assert first.lots == first.wanted_lots == -round(exposure / 10**17)
    assert hedge(exposure, A, lot_size=Decimal("0.1"), held_lots=first.wanted_lots).lots == 0
    near = first.wanted_lots + 3
    assert hedge(exposure, A, lot_size=Decimal("0.1"), held_lots=near, slack_lots=3).lots == 0
    assert hedge(exposure, A, lot_size=Decimal("0.1"), held_lots=near, slack_lots=2).lots == -3
    assert hedge(0, A, lot_size=Decimal("0.1"), held_lots=-7).lots == 7
    with pytest.raises(InputError, match="lot is positive"):
        hedge(1, A, lot_size=Decimal(0), held_lots=0)
