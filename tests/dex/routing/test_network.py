"""The network solver against the bound that prices put on every flow, and against the laws of a flow."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dex.routing.candidates import Arc, candidates
from dex.routing.network import best_flow
from dex.routing.paths import best_path_in
from dex.routing.settlement import shares_of
from tests.dex.routing.markets import random_market


def dual(arcs: list[Arc], source: str, total: float, prices: dict[str, float]) -> float:
    """Bound every flow's output from above: what the input and all pools' trades are worth at any prices whatever."""
    found = total * prices[source]
    for arc in arcs:
        ratio = prices[arc.head] / prices[arc.tail]
        for r_in, r_out, size in zip(arc.curve.r_in, arc.curve.r_out, arc.curve.size, strict=True):
            u = min(max((r_in * r_out * ratio) ** 0.5 - r_in, 0.0), size)
            found += prices[arc.head] * r_out * u / (r_in + u) - prices[arc.tail] * u
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e3, 1e5, 5e5]))
@example(2597, 1e3)  # 12,873 units of a token on the way
@example(2063, 1e3)
@example(46430, 1e3)
@example(2704, 5e5)  # more than all pools hold, beside a very deep one
def test_the_flow_is_the_optimum_and_nothing_is_left_anywhere(seed, dollars):
    made = random_market(seed, tokens=6, pools=18)
    market, total = made.market(), float(made.raw(1, dollars))
    source, target = made.asset(1).id, made.asset(2).id
    arcs = candidates(market, source, target, total, max_hops=3, single=None)
    flow = best_flow(arcs, source, target, total)
    if flow.left_over > 1e-6:  # More than all pools hold: what is left over is worth nothing.
        assert flow.prices[source] < 1e-6 * max(arc.curve.first_price for arc in arcs if arc.tail == source)
        return
    gives = sum(arc.curve.out_at(x) for arc, x in zip(arcs, flow.inputs, strict=True) if arc.head == target)
    # No flow gives more than the bound at these prices; this one gives the bound.
    assert gives == pytest.approx(dual(arcs, source, total, flow.prices), rel=1e-6)
    # Drawn out into paths, nothing is lost.
    shares = shares_of(arcs, flow.inputs, source, target)
    assert sum(share.amount_in for share in shares) == pytest.approx(total, rel=1e-6)
    assert sum(share.amount_out for share in shares) == pytest.approx(gives, rel=1e-6)
    assert all(1 <= len(share.edges) <= 3 for share in shares)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_without_a_pool_at_least_its_surplus_is_lost(seed):
    made = random_market(seed, tokens=5, pools=12)
    market, total = made.market(), float(made.raw(1, 1e5))
    source, target = made.asset(1).id, made.asset(2).id
    arcs = candidates(market, source, target, total, max_hops=3, single=None)

    def value(some: list[Arc]) -> tuple[float, list[float]]:
        flow = best_flow(some, source, target, total)
        taken = sum(x for arc, x in zip(some, flow.inputs, strict=True) if arc.tail == source)
        gives = sum(arc.curve.out_at(x) for arc, x in zip(some, flow.inputs, strict=True) if arc.head == target)
        is_whole = taken > total * 0.999 and flow.left_over < 1e-6
        return (gives if is_whole else 0.0), flow.surplus

    whole, surplus = value(arcs)
    if not whole:  # More than all pools hold.
        return
    for i, earned in enumerate(surplus):
        if arcs[i].is_pool and earned > 0:
            assert whole - value([*arcs[:i], *arcs[i + 1 :]])[0] >= earned * (1 - 1e-6) - whole * 1e-7


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(2, 5.5))
def test_what_the_bound_leaves_out_would_not_have_been_used(seed, power):
    made = random_market(seed, tokens=6, pools=18)
    market, amount = made.market(), made.raw(1, 10**power)
    source, target = made.asset(1).id, made.asset(2).id
    single = best_path_in(market, source, target, amount)
    if single is None:
        return
    values = []
    for bound in (single, None):
        arcs = candidates(market, source, target, float(amount), max_hops=3, single=bound)
        flow = best_flow(arcs, source, target, float(amount))
        values.append(sum(a.curve.out_at(x) for a, x in zip(arcs, flow.inputs, strict=True) if a.head == target))
    assert values[0] == pytest.approx(values[1], rel=1e-6)
