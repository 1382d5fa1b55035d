"""The split against brute force: every split of small orders is tried, and none costs less."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import InputError
from engine.routing import Route, best_single, split


def brute_force(routes: Sequence[Route], units: int, reserve: int) -> int:
    """The least cost of all splits, each tried."""
    choices = [[0, *range(route.least, min(route.capacity, units) + 1, route.lot)] for route in routes]
    return min(
        sum(route.total(count) for route, count in zip(routes, counts, strict=True)) + (units - sum(counts)) * reserve
        for counts in product(*choices)
        if sum(counts) <= units
    )


@st.composite
def routes_of(draw: st.DrawFn) -> Route:
    price = draw(st.integers(-50, 50))
    segments = []
    for _ in range(draw(st.integers(0, 4))):
        price += draw(st.integers(0, 8))
        segments.append((price, draw(st.integers(1, 7))))
    return Route.of(
        "r",
        segments,
        lot=draw(st.sampled_from([1, 1, 2, 3, 5])),
        minimum=draw(st.sampled_from([0, 0, 4, 7])),
        fixed=draw(st.sampled_from([0, 0, 5, 30])),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(routes_of(), min_size=1, max_size=4), st.integers(0, 20), st.integers(-60, 90))
def test_no_split_of_all_there_are_costs_less(routes, units, reserve):
    found = split(routes, units, reserve=reserve)
    assert found.cost == brute_force(routes, units, reserve)
    assert found.is_proven
    assert sum(found.units) + found.unfilled == units
    for route, count in zip(routes, found.units, strict=True):
        assert count == 0 or (count % route.lot == 0 and route.least <= count <= route.capacity)
    booked = sum(route.total(count) for route, count in zip(routes, found.units, strict=True))
    assert found.cost == booked + found.unfilled * reserve


@settings(max_examples=100, deadline=None)
@given(st.lists(routes_of(), min_size=1, max_size=4), st.integers(0, 20))
def test_it_is_never_worse_than_the_best_single_route(routes, units):
    at, single = best_single(routes, units)
    found = split(routes, units)
    assert found.cost <= single.cost
    assert single.units[0] <= routes[at].capacity


@settings(max_examples=100, deadline=None)
@given(st.lists(routes_of(), min_size=1, max_size=4), st.integers(0, 20))
def test_an_order_that_must_be_filled_leaves_as_little_as_can_be(routes, units):
    choices = [[0, *range(route.least, min(route.capacity, units) + 1, route.lot)] for route in routes]
    most = max(total for counts in product(*choices) if (total := sum(counts)) <= units)
    assert sum(split(routes, units).units) == most


def test_the_proof_case():
    """Three exchanges with lots of 1, 2 and 5, a pool with gas of 15; 20 units. All 24,255 splits are tried."""
    routes = [
        Route.of("spot", [(100, 4), (103, 4), (109, 12)]),
        Route.of("perpetual", [(99, 2), (101, 6), (108, 12)], lot=2),
        Route.of("coin", [(98, 5), (107, 15)], lot=5),
        Route.of("pool", [(96 + at, 1) for at in range(20)], fixed=15),
    ]
    found = split(routes, 20)
    assert found.is_proven
    assert found.cost == brute_force(routes, 20, 10**6) == 1_997
    assert found.units == (4, 6, 5, 5)
    alone = [brute_force([route], 20, 10**6) for route in routes]
    assert alone == [2_120, 2_100, 2_095, 2_125]
    assert best_single(routes, 20)[1].cost == 2_095


def test_gas_is_paid_only_when_it_is_earned():
    book = Route.of("book", [(100, 50)])
    pool = Route.of("pool", [(99, 50)], fixed=30)
    assert split([book, pool], 30).units in {(30, 0), (0, 30)}
    assert split([book, pool], 29).units == (29, 0)
    assert split([book, pool], 31).units == (0, 31)


def test_what_costs_more_than_leaving_it_stays():
    route = Route.of("book", [(100, 5), (110, 5), (120, 5)])
    found = split([route], 15, reserve=110)
    assert (found.units, found.unfilled) == ((10,), 5)


def test_a_sell_takes_the_highest_bids_first():
    # What a sell brings is a negative cost.
    found = split([Route.of("a", [(-101, 3), (-98, 9)]), Route.of("b", [(-100, 4), (-99, 1)])], 9)
    assert found.units == (4, 5)
    assert found.cost == -(3 * 101 + 4 * 100 + 99 + 98)


def test_a_search_that_is_cut_short_says_how_far_off_it_may_be():
    routes = [Route.of(str(lot), [(100 + lot, 10_000)], lot=lot, fixed=lot) for lot in (77, 91, 143)]
    found = split(routes, 1_000, nodes_max=1)
    best = split(routes, 1_000)
    assert found.bound <= best.cost <= found.cost
    assert found.nodes <= 1
    assert not found.is_proven


def test_nothing_goes_nowhere():
    assert split([], 5, reserve=7).cost == 35
    assert split([Route.of("empty", ())], 5).units == (0,)
    assert split([Route.of("book", [(1, 1)])], 0).cost == 0


def test_prices_never_fall_along_a_route():
    route = Route.of("r", [(100, 2), (99, 2), (101, 0), (102, 1)])
    assert route.prices == (100, 100, 102)
    assert [route.cost(units) for units in range(6)] == [0, 100, 200, 300, 400, 502]
    assert (route.marginal(4), route.marginal(5)) == (100, 102)


@pytest.mark.parametrize("bad", [{"lot": 0}, {"minimum": -1}, {"fixed": -1}])
def test_a_route_that_cannot_be_is_refused(bad):
    with pytest.raises(InputError, match="route r"):
        Route.of("r", [(1, 1)], **bad)
