"""Books, pools and quotes as routes: what they cost, exactly; and a split over them against brute force."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dex import V2Pool
from domain import InputError
from domain.events import PoolInvalidated, PoolSnapshotted
from engine.routing import (
    SHARE,
    Charges,
    PoolPlace,
    RouteHistory,
    book_route,
    cost_quote,
    pool_route,
    quote_route,
    route_order,
)

ASKS = [(30_000_0, 2_000), (30_001_0, 5_000), (30_010_0, 100_000)]
TERMS = {"tick": Decimal("0.1"), "lot": Decimal("0.001")}
ETHER = 10**8


def pool(side, reserve=1_000, price=3_000, **more) -> PoolPlace:
    replica = V2Pool("weth-usdc", "chain/USDC", "chain/WETH", 3_000)
    replica.apply(
        PoolSnapshotted(
            time_ns=0,
            pool="weth-usdc",
            block_number=1,
            kind="v2",
            token0="chain/USDC",
            token1="chain/WETH",
            fee_pips=3_000,
            reserve0=str(reserve * price * 10**6),
            reserve1=str(reserve * 10**18),
        )
    )
    return PoolPlace("pool", side, replica, "chain/WETH", "chain/USDC", 18, 6, lot=10**4, **more)


def test_a_book_costs_its_levels_and_its_fee_to_the_last_digit():
    route = book_route("a", "buy", ASKS, **TERMS, taker_fee_bps=Decimal("5"))
    assert route.lot == 100_000
    # Two lots at 30,000, one at 30,001: (2·30,000 + 5·30,001)·1.0005
    assert cost_quote(route.cost(700_000_000)) == Decimal("210005") * Decimal("1.0005")
    sold = book_route("a", "sell", [(299_990, 2_000), (299_980, 5_000)], **TERMS, taker_fee_bps=Decimal("5"))
    assert cost_quote(sold.cost(300_000_000)) == -(Decimal("59998") + Decimal("29998")) * Decimal("0.9995")


def test_charges_and_impact_add_to_prices():
    plain = book_route("a", "buy", ASKS, **TERMS)
    charged = book_route("a", "buy", ASKS, **TERMS, charge=SHARE // 1_000)
    assert charged.cost(200_000_000) * 1_000 == plain.cost(200_000_000) * 1_001
    # All of 107 shown: each level pays the middle of its own stretch of 10 bps.
    pushed = book_route("a", "buy", ASKS, **TERMS, impact_bps=Decimal(10))
    assert pushed.prices[0] == 30_000 * 10**10 * (SHARE + SHARE // 1_000 * 2_000 // 214_000)
    assert pushed.prices[2] > plain.prices[2] > 0


def test_the_least_order_is_rounded_up_and_a_limit_cuts_the_book():
    route = book_route("a", "buy", ASKS, **TERMS, notional_min=Decimal("100"), units_max=250_000_000)
    assert (route.minimum, route.least) == (333_334, 400_000)
    assert route.capacity == 250_000_000


def test_an_inverse_contract_is_worth_its_face_at_the_touch():
    route = book_route("cm", "buy", [(600_000, 10)], tick=Decimal("0.1"), lot=Decimal(1), face=Decimal(100))
    assert route.lot == 166_666  # 100 / 60,000 BTC, down
    assert cost_quote(route.cost(1_666_660)) == Decimal("0.0166666") * 60_000


def test_what_is_finer_than_is_counted_is_refused():
    with pytest.raises(InputError, match="lot 1E-9"):
        book_route("a", "buy", ASKS, tick=Decimal("0.1"), lot=Decimal("1e-9"))
    with pytest.raises(InputError, match=r"a fee of 0\.00001 bps"):
        book_route("a", "buy", ASKS, **TERMS, taker_fee_bps=Decimal("0.00001"))


@pytest.mark.parametrize("side", ["buy", "sell"])
@settings(max_examples=60, deadline=None)
@given(lots=st.integers(1, 20_000), share=st.integers(0, 1_000_000))
def test_a_pools_route_is_exact_at_its_samples_and_never_below_the_contract(side, lots, share):
    place = pool(side, charge=share, gas=Decimal("1.5"))
    route = pool_route(place, 2 * ETHER)
    units = lots * place.lot
    true = place.cost(units)
    # Rounding: one raw unit of USDC at either end of a segment.
    noise = 4 * 10**20
    assert true - noise <= route.cost(units)
    # A straight line between samples of 1/16 ETH in a pool of 1,000: less than 0.01 bps above.
    assert route.cost(units) - true <= abs(true) // 10**6 + 10**24
    assert cost_quote(route.fixed) == Decimal("1.5")


def test_a_pool_that_does_not_quote_is_no_route_and_a_shallow_one_is_cut():
    place = pool("buy", reserve=1)
    assert 0.99 * ETHER < pool_route(place, 5 * ETHER).capacity < ETHER
    place.replica.apply(PoolInvalidated(time_ns=0, pool="weth-usdc", reason="reorganised"))
    assert pool_route(place, ETHER).capacity == 0


def test_a_dealers_quote_ends_when_it_says():
    def quote(now_ns):
        return quote_route(
            "dealer",
            "buy",
            Decimal("3000.5"),
            Decimal("10"),
            now_ns=now_ns,
            valid_until_ns=100,
            lot=Decimal("0.01"),
            qty_min=Decimal("0.125"),
            fee_bps=Decimal(1),
        )

    assert quote(100).capacity == 0
    assert (quote(99).capacity, quote(99).least) == (10 * ETHER, 13_000_000)
    assert cost_quote(quote(99).cost(2 * ETHER)) == Decimal("6001") * Decimal("1.0001")


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("size", [0.3, 2.0, 9.0])
def test_a_split_over_two_books_a_dealer_and_a_pool_is_what_brute_force_finds(side, size):
    sign = 1 if side == "buy" else -1
    levels = [[(300_000 + sign * (60 * at + 2), 400 + 70 * at) for at in range(8)]]
    levels.append([(300_000 + sign * (50 * at + 9), 4 + at) for at in range(8)])
    place = pool(side, reserve=2_000, price=3_000, gas=Decimal("0.4"))
    routes = [
        book_route("one", side, levels[0], tick=Decimal("0.01"), lot=Decimal("0.001"), taker_fee_bps=Decimal(25)),
        book_route("two", side, levels[1], tick=Decimal("0.01"), lot=Decimal("0.1"), taker_fee_bps=Decimal(24)),
        quote_route(
            "dealer",
            side,
            Decimal(3_000 + sign * 8),
            Decimal(1),
            now_ns=0,
            valid_until_ns=1,
            lot=Decimal("0.1"),
        ),
    ]
    units = int(size * ETHER)
    found = route_order([*routes, place], units)
    assert found.allocation.is_proven
    assert found.allocation.unfilled == 0
    assert found.saved > 0 or size < 1
    # Every split in steps: the second book and the dealer by lots of 0.1, the pool by 0.01, the first book the rest.
    step, rest = ETHER // 100, []
    pool_costs = [place.cost(at * step) + (place.fixed if at else 0) for at in range(units // step + 1)]
    for two in range(0, min(routes[1].capacity, units) + 1, routes[1].lot):
        for dealer in range(0, min(routes[2].capacity, units - two) + 1, routes[2].lot):
            left = units - two - dealer
            fixed = routes[1].cost(two) + routes[2].cost(dealer)
            rest.extend(
                fixed + cost + routes[0].cost(left - at * step)
                for at, cost in enumerate(pool_costs[: left // step + 1])
                if 0 <= left - at * step <= routes[0].capacity
            )
    exact = sum(r.total(u) for r, u in zip(routes, found.allocation.units, strict=False))
    last = found.allocation.units[3]
    exact += place.cost(last) + (place.fixed if last else 0)
    # No split of the grid is better than ours as the contract prices it, beyond a hundredth of a cent.
    assert exact <= min(rest) + 10**22
    assert abs(exact - found.allocation.cost) <= 10**22


def test_charges_are_half_a_normals_drift_and_misses():
    assert Charges().share() == 0
    # 0.4 of 2 bps at four seconds, and 10 % of 5 bps.
    charged = Charges(latency_s=4, volatility_bps=1, miss_rate=0.1, miss_bps=5)
    assert charged.share() == round((0.8 + 0.5) * SHARE / 10_000)


def test_a_history_learns_what_misses_and_forgets():
    history = RouteHistory(half_life=4)
    assert history.miss_rate == pytest.approx(0.02)
    for _ in range(30):
        history.ended(0, 10, 5)
    assert history.miss_rate == pytest.approx(0.5, abs=0.15)
    for _ in range(60):
        history.ended(0, 10, 10)
    assert history.miss_rate < 0.01
    history.ended(0, 0, 0)


def test_three_refusals_running_pause_a_route():
    history = RouteHistory(pause_ns=100)
    for _ in range(2):
        history.ended(5, 1, 0)
    history.ended(5, 2, 1)
    for _ in range(3):
        assert history.is_usable(5)
        history.ended(5, 1, 0)
    assert not history.is_usable(104)
    assert history.is_usable(105)


def test_latency_is_smoothed_and_a_history_is_saved():
    history, other = RouteHistory(), RouteHistory()
    history.answered(8_000_000)
    history.answered(16_000_000)
    history.ended(0, 4, 1)
    assert history.latency_s == pytest.approx(0.009)
    other.restore(history.state())
    assert other == history
