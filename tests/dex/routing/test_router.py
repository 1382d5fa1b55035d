"""Routes over made-up markets: against every path, every grid split, every choice of pools; and their bookkeeping."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dex.routing import Market, Quote, Router
from dex.routing.candidates import candidates
from dex.routing.curves import edge_curve, split_in
from dex.routing.gas import GasPrice, GasTerms
from dex.routing.paths import Found, best_path_in, best_path_out
from dex.routing.rounding import refined
from dex.routing.selection import select
from domain.errors import InputError, Refused
from tests.dex.routing.markets import NATIVE, MadeUp, random_market

SEEDS = st.integers(0, 10**6)
DOLLARS = st.floats(2, 6).map(lambda power: 10**power)
FREE = GasTerms()
DEAR = GasTerms(unit_wei=30 * 10**9)


def every_path(market: Market, source: str, target: str, max_hops: int = 3):
    """Every path over distinct tokens and pools."""

    def onward(node, edges):
        for edge in market.outgoing(node):
            passed = {source, *(e.target for e in edges)}
            if edge.target in passed or edge.pool.id in {e.pool.id for e in edges}:
                continue
            if edge.target == target:
                yield (*edges, edge)
            elif len(edges) + 1 < max_hops:
                yield from onward(edge.target, (*edges, edge))

    yield from onward(source, ())


def along(edges, amount: int) -> int:
    try:
        for edge in edges:
            amount = edge.quote_in(amount)
    except (Refused, InputError):
        return 0
    return amount


def grid_best(edges, total: int, steps: int = 20) -> int:
    """The most that any split of 5 % steps over pools side by side gives, exactly."""
    best = [0] + [-1] * steps
    for edge in edges:
        gives = [along((edge,), total * k // steps) or -1 if k else 0 for k in range(steps + 1)]
        best = [
            max((best[k - j] + gives[j] for j in range(k + 1) if min(best[k - j], gives[j]) >= 0), default=-1)
            for k in range(steps + 1)
        ]
    return best[steps]


def assert_adds_up(quote: Quote, market: Market) -> None:
    assert sum(path.amount_in for path in quote.paths) == quote.amount_in
    assert sum(path.amount_out for path in quote.paths) == quote.amount_out
    for path in quote.paths:
        assert 1 <= len(path.hops) <= 3
        assert market.node(path.hops[0].token_in) == market.node(quote.token_in)
        assert market.node(path.hops[-1].token_out) == market.node(quote.token_out)
    # Carried out one after the other on replicas of its own, every hop gives what was promised.
    states = {edge.pool.id: edge.replica for edge in market.edges}
    for path in quote.paths:
        passing = 0
        for hop in path.hops:
            given, taken = hop.token_in.id, hop.token_out.id
            state = states[hop.pool.id]
            if quote.is_exact_out:
                assert state.quote_exact_out_up(taken, hop.amount_out, given) == hop.amount_in
                if hop.pool.kind == "v2":  # Routers take all that a pair gives for the input.
                    passing = hop.amount_in if hop is path.hops[0] else passing
                    states[hop.pool.id] = state.after_exact_in(given, passing, taken)
                    passing = state.quote_exact_in_down(given, passing, taken)
                else:
                    states[hop.pool.id] = state.after_exact_out(taken, hop.amount_out, given)
                    passing = hop.amount_out
            else:
                assert state.quote_exact_in_down(given, hop.amount_in, taken) == hop.amount_out
                states[hop.pool.id] = state.after_exact_in(given, hop.amount_in, taken)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DOLLARS)
def test_the_best_single_path_is_the_best_of_all_paths(seed, dollars):
    made = random_market(seed, tokens=5, pools=10)
    market, amount = made.market(), made.raw(1, dollars)
    a, b = made.asset(1).id, made.asset(2).id
    most = max((along(path, amount) for path in every_path(market, a, b)), default=0)
    found = best_path_in(market, a, b, amount)
    assert (found.amounts[-1] if found else 0) == most
    if most:
        back = best_path_out(market, a, b, most)
        assert back is not None
        assert back.amounts[0] <= amount


@settings(max_examples=40, deadline=None)
@given(SEEDS, DOLLARS, st.integers(2, 8))
def test_a_split_is_never_below_the_optimum_of_a_five_percent_grid(seed, dollars, pools):
    made = MadeUp(seed, 2)
    for _ in range(pools):
        made.any_pool(0, 1, 1e6)
    market, amount = made.market(), made.raw(1, dollars)
    grid = grid_best(market.outgoing(made.asset(1).id), amount)
    try:
        quote = Router(market).quote_exact_in(made.asset(1), made.asset(0), amount)
    except Refused:
        assert grid <= 0  # No split of the grid takes it either.
        return
    assert_adds_up(quote, market)
    assert quote.amount_out >= grid
    assert quote.amount_out >= max(along((edge,), amount) for edge in market.outgoing(made.asset(1).id))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(500, 10**6), st.integers(2, 6))
def test_few_raw_units_are_split_to_the_unit(seed, amount, pools):
    """Here a grid may hit inputs at which V3's fee happens to be whole."""
    made = MadeUp(seed, 2)
    made.decimals[1], made.dollars[1] = 6, 30_000.0
    for _ in range(pools):
        made.v3(0, 1, 10 ** made.chance.uniform(4, 6), made.chance.choice([500, 3000]))
    market = made.market()
    edges = market.outgoing(made.asset(1).id)
    inputs = [amount // pools] * pools
    whole = [Found((edge,), (x, along((edge,), x))) for edge, x in zip(edges, inputs, strict=True)]
    if any(path.amounts[-1] == 0 for path in whole):
        return
    better = refined(whole)
    assert sum(path.amounts[0] for path in better) == sum(inputs)
    assert sum(path.amounts[-1] for path in better) >= sum(path.amounts[-1] for path in whole)
    assert all(path.amounts[-1] == along(path.edges, path.amounts[0]) for path in better)


def test_a_unit_moved_to_where_the_fee_is_whole_is_not_lost():
    made = MadeUp(9, 2)
    made.decimals[1] = 6
    for _ in range(2):
        made.v3(0, 1, 1e6, 3000)
    edges = made.market().outgoing(made.asset(1).id)
    # 3000 pips of 1000 are 3 to the unit: of 1001 the fee is rounded up to 4, and of 999 to 3.
    paths = [Found((edge,), (1001, along((edge,), 1001))) for edge in edges]
    assert sum(path.amounts[-1] for path in refined(paths)) > sum(path.amounts[-1] for path in paths)


@settings(max_examples=25, deadline=None)
@given(SEEDS, DOLLARS, st.sampled_from([FREE, DEAR]))
def test_a_route_is_never_worse_after_gas_than_any_single_path(seed, dollars, terms):
    made = random_market(seed, tokens=6, pools=16)
    market, amount = made.market(), made.raw(1, dollars)
    single = best_path_in(market, made.asset(1).id, made.asset(2).id, amount)
    if single is None:
        return
    router = Router(market, gas=terms)
    quote = router.quote_exact_in(made.asset(1), made.asset(2), amount)
    assert_adds_up(quote, market)
    price = router.gas_price(made.asset(2).id)
    assert quote.amount_out - quote.gas_cost >= single.amounts[-1] - price.of_paths([single], router.ticks)[1]


@settings(max_examples=25, deadline=None)
@given(SEEDS, DOLLARS)
def test_an_exact_output_costs_no_more_than_the_input_that_gives_it(seed, dollars):
    made = random_market(seed, tokens=5, pools=12)
    market, amount = made.market(), made.raw(1, dollars)
    router = Router(market, mixes_kinds_out=True)
    try:
        given = router.quote_exact_in(made.asset(1), made.asset(2), amount)
    except Refused:
        return
    if given.impact_bps > 500:  # Nearly drained pools: a unit of output costs any input.
        return
    quote = router.quote_exact_out(made.asset(1), made.asset(2), given.amount_out)
    assert quote.amount_out == given.amount_out
    assert_adds_up(quote, market)
    # Raw units round up at every hop, so a few are lost; else both find the same optimum.
    unit = sum(len(path.hops) for path in quote.paths)
    assert quote.amount_in <= amount * (1 + 5e-5) + 4 * unit * max(1, amount // max(1, given.amount_out))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(2, 5).map(lambda power: 10**power), st.integers(2, 6))
def test_the_choice_of_pools_is_that_of_trying_every_combination(seed, dollars, pools):
    made = MadeUp(seed, 2)
    for _ in range(pools):
        made.any_pool(0, 1, 3e5)
    market, amount = made.market(), float(made.raw(1, dollars))
    source, target = made.asset(1).id, made.asset(0).id
    price = GasPrice(DEAR, 1.0)
    arcs = candidates(market, source, target, amount, max_hops=1, single=None)
    costs = [price.of_edge(arc.edge) for arc in arcs]
    best = float("-inf")
    for size in range(1, len(arcs) + 1):
        for chosen in combinations(range(len(arcs)), size):
            curves = [edge_curve(arcs[i].edge, amount) for i in chosen]
            inputs, _ = split_in(curves, amount)
            if sum(inputs) < amount * (1 - 1e-6):
                continue
            gives = sum(curve.out_at(x) for curve, x in zip(curves, inputs, strict=True))
            best = max(best, gives - sum(costs[i] for i, x in zip(chosen, inputs, strict=True) if x > 0))
    assert select(arcs, source, target, amount, costs).net == pytest.approx(best, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(2, 4.5).map(lambda power: 10**power))
def test_paths_of_an_exact_output_keep_to_one_kind_of_pool(seed, dollars):
    made = random_market(seed, tokens=5, pools=14)
    market, wanted = made.market(), made.raw(2, dollars)
    try:
        quote = Router(market).quote_exact_out(made.asset(1), made.asset(2), wanted)
        mixed = Router(market, mixes_kinds_out=True).quote_exact_out(made.asset(1), made.asset(2), wanted)
    except Refused:
        return
    assert_adds_up(quote, market)
    assert all(len({hop.pool.kind for hop in path.hops}) == 1 for path in quote.paths)
    assert quote.amount_in >= mixed.amount_in * (1 - 1e-4) - 20  # Raw units of the middle token round.


def test_dear_gas_leaves_pools_out_and_free_gas_uses_them():
    made = MadeUp(5, 2)
    for _ in range(8):
        made.v2(0, 1, 2e5, made.chance.gauss(0, 0.001))
    market, amount = made.market(), made.raw(1, 5_000)
    free = Router(market).quote_exact_in(made.asset(1), made.asset(0), amount)
    dear = Router(market, gas=DEAR).quote_exact_in(made.asset(1), made.asset(0), amount)
    assert len(free.paths) == 8
    assert len(dear.paths) < 5
    assert dear.amount_out < free.amount_out
    assert dear.gas_cost > 0 == free.gas_cost
    costs_all = Router(market, gas=DEAR).gas_price(made.asset(0).id).terms.unit_wei * free.gas_units
    assert dear.amount_out - dear.gas_cost > free.amount_out - costs_all


def test_routes_share_a_pool_where_that_pays():
    """Two shallow ways out of the middle, one deep way in: both paths begin on the same pool."""
    made = MadeUp(1, 4)
    made.v2(1, 0, 5e7)
    made.v2(0, 2, 1e6)
    made.v3(0, 2, 1e6, 3000)
    made.v2(0, 3, 1e6)  # So that token 3 exists, and leads nowhere.
    market, amount = made.market(), made.raw(1, 300_000)
    quote = Router(market).quote_exact_in(made.asset(1), made.asset(2), amount)
    assert_adds_up(quote, market)
    assert len(quote.paths) == 2
    assert quote.paths[0].hops[0].pool == quote.paths[1].hops[0].pool
    single = best_path_in(market, made.asset(1).id, made.asset(2).id, amount)
    assert single is not None
    assert quote.amount_out > single.amounts[-1] * 1.001


def test_the_coin_and_its_wrapped_form_are_one_token():
    made = MadeUp(2, 3)
    made.v2(0, 1, 1e6)
    made.v2(1, 2, 1e6)
    market, amount = made.market(), 10**18
    by_coin = Router(market).quote_exact_in(NATIVE, made.asset(1), amount)
    by_token = Router(market).quote_exact_in(made.asset(0), made.asset(1), amount)
    assert by_coin.amount_out == by_token.amount_out
    assert by_coin.token_in == NATIVE
    with pytest.raises(InputError, match="are the same"):
        Router(market).quote_exact_in(NATIVE, made.asset(0), amount)


def test_what_has_no_route_says_which_kind_of_no():
    made = MadeUp(3, 6)
    for a, b in ((1, 0), (0, 2), (2, 3), (3, 4)):
        made.v2(a, b, 1e6)
    made.v2(5, 4, 1e6)
    router = Router(made.market())
    with pytest.raises(Refused) as far:
        router.quote_exact_in(made.asset(1), made.asset(4), 10**18)
    assert far.value.rule == "no_route"
    with pytest.raises(Refused) as deep:
        router.quote_exact_out(made.asset(1), made.asset(0), made.raw(0, 10**9))
    assert deep.value.rule == "pool_depth"
    with pytest.raises(InputError, match="must be positive"):
        router.quote_exact_in(made.asset(1), made.asset(0), 0)
    with pytest.raises(InputError, match="1 to 3 hops"):
        Router(made.market(), max_hops=4)


def test_a_stale_pool_is_left_out_and_named():
    made = MadeUp(4, 2)
    made.v2(0, 1, 1e6)
    made.v2(0, 1, 1e6)
    made.pools[0][1].invalid_reason = "audit: it differs"
    market = made.market()
    quote = Router(market).quote_exact_in(made.asset(1), made.asset(0), made.raw(1, 1000))
    assert [hop.pool for path in quote.paths for hop in path.hops] == [made.pools[1][0]]
    assert market.left_out == {made.pools[0][0].id: "audit: it differs"}


def test_no_more_paths_than_asked_for():
    made = MadeUp(6, 2)
    for _ in range(9):
        made.v2(0, 1, 1e6)
    market, amount = made.market(), made.raw(1, 100_000)
    outs = [
        Router(market, max_paths=most).quote_exact_in(made.asset(1), made.asset(0), amount).amount_out
        for most in (1, 3, 9)
    ]
    assert outs == sorted(outs)
    assert len(Router(market, max_paths=3).quote_exact_in(made.asset(1), made.asset(0), amount).paths) == 3


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_pools_does_not_matter(order):
    made = MadeUp(7, 2)
    for number in range(3):
        made.v2(0, 1, 1e6 * (number + 1), 0.001 * number)
    amount = made.raw(1, 50_000)
    quoted = Router(made.market()).quote_exact_in(made.asset(1), made.asset(0), amount).amount_out
    made.pools = [made.pools[i] for i in order]
    assert Router(made.market()).quote_exact_in(made.asset(1), made.asset(0), amount).amount_out == quoted
