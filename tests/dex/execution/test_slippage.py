"""Bounds of swaps: one policy, whole numbers that add up, refusals by name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dex.execution.slippage import SlippagePolicy, max_in_up, min_out_down
from dex.pools import PoolSpec
from dex.routing.quote import Hop, Path, Quote
from domain import InputError, Refused
from domain.ids import ChainId


def quote(spec: PoolSpec, amounts: list[tuple[int, int]], *, exact_out: bool = False) -> Quote:
    paths = tuple(Path((Hop(spec, spec.token0, spec.token1, *pair),)) for pair in amounts)
    given_in, got = sum(p.amount_in for p in paths), sum(p.amount_out for p in paths)
    return Quote(
        id="q",
        chain_id=ChainId(1337),
        block_number=100,
        block_hash="0x64",
        token_in=spec.token0,
        token_out=spec.token1,
        amount_in=given_in,
        amount_out=got,
        is_exact_out=exact_out,
        paths=paths,
        mid_price=Fraction(got, given_in),
        gas_units=0,
        gas_cost=0,
    )


raw = st.integers(1, 2**120)


@given(st.lists(st.tuples(raw, raw), min_size=1, max_size=7), st.integers(0, 9_999), st.booleans())
def test_path_bounds_add_up_to_the_whole_and_none_is_nothing(amounts, bps, exact_out):
    spec = SPEC
    asked = quote(spec, amounts, exact_out=exact_out)
    try:
        bounds = SlippagePolicy(tolerance_bps=bps).bounds(asked, head_number=100, time_s=1_000)
    except Refused:  # Too small for so many paths.
        assert sum(path.amount_out for path in asked.paths) < 10_000 * len(amounts)
        return
    whole = bounds.amount_in_max if exact_out else bounds.amount_out_min
    assert sum(bounds.paths) == whole
    assert min(bounds.paths) >= 1
    if exact_out:
        assert bounds.amount_out_min == asked.amount_out
        assert asked.amount_in <= bounds.amount_in_max == max_in_up(asked.amount_in, bps)
    else:
        assert bounds.amount_in_max == asked.amount_in
        assert bounds.amount_out_min == min_out_down(asked.amount_out, bps) <= asked.amount_out
    assert bounds.deadline_s == 1_120


def test_an_old_quote_a_bad_price_and_a_bad_policy_are_refused(v3_spec):
    asked, policy = quote(v3_spec, [(10**9, 10**9)]), SlippagePolicy(age_blocks_max=2)
    policy.bounds(asked, head_number=102, time_s=0)
    for head in (103, 99):  # Too old; of a block that is no longer on the chain.
        with pytest.raises(Refused) as refused:
            policy.bounds(asked, head_number=head, time_s=0)
        assert refused.value.rule == "quote-age"
    with pytest.raises(Refused) as refused:
        policy.bounds(replace(asked, mid_price=Fraction(2)), head_number=100, time_s=0)
    assert refused.value.rule == "impact"
    for wrong in ({"tolerance_bps": 10_000}, {"tolerance_bps": -1}, {"lifetime_s": 0}, {"impact_bps_max": 0}):
        with pytest.raises(InputError):
            SlippagePolicy(**wrong)


def _spec() -> PoolSpec:
    from dex import pool_spec

    return pool_spec(
        kind="v3",
        chain_id=1337,
        address="0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
        token_a=("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "WETH", 18),
        token_b=("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", 6),
        fee_pips=500,
    )


SPEC = _spec()
