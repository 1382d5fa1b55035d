"""The closed-form size earns what trying every size earns, and both legs settle as promised."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dex import (
    BookTerms,
    LegCosts,
    PoolReplica,
    V2Pool,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)
from domain import InputError, Instrument, Refused, VenueId, venue_asset
from domain.assets import Asset
from domain.events import PoolInvalidated, PoolSnapshotted
from tests.dex.books import BASE, QUOTE, random_levels, random_pool, random_terms

NOISE_RAW = 3
"""Rounding moves each leg by less than a raw unit, so equal sizes may differ by so much: millionths of a dollar."""


def _swept(levels: list[tuple[int, int]], lots: int) -> int:
    total = 0
    for ticks, size in levels:
        taken = min(size, lots)
        total, lots = total + ticks * taken, lots - taken
    assert lots == 0
    return total


def _profit_selling_on_book(pool: PoolReplica, bids: list[tuple[int, int]], terms: BookTerms, lots: int) -> int:
    received = math.floor(_swept(bids, lots) * terms.tick_quote_raw * (1 - terms.taker_fee))
    return received - pool.quote_exact_out_up(BASE, lots * terms.lot_base_raw)


def _profit_buying_on_book(pool: PoolReplica, asks: list[tuple[int, int]], terms: BookTerms, lots: int) -> int:
    base = math.floor(lots * terms.lot_base_raw * (1 - terms.taker_fee))
    return pool.quote_exact_in_down(BASE, base) - math.ceil(_swept(asks, lots) * terms.tick_quote_raw)


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(0, 2**32), is_buying_on_pool=st.booleans(), is_capped=st.booleans())
@example(seed=431, is_buying_on_pool=False, is_capped=False)  # A crumb of a float ended the walk at a level's end.
def test_the_size_earns_as_much_as_the_best_of_all_sizes(seed: int, is_buying_on_pool: bool, is_capped: bool) -> None:
    chance = random.Random(seed)
    pool, terms = random_pool(chance), random_terms(chance)
    levels = random_levels(chance, pool, is_bids=is_buying_on_pool)
    held = sum(lots for _, lots in levels)
    cap = chance.randint(0, held) if is_capped else None
    costs = random_costs(chance, terms)
    optimise = optimal_buy_on_pool_sell_on_book if is_buying_on_pool else optimal_buy_on_book_sell_on_pool
    found = optimise(pool, levels, terms, costs=costs, lots_max=cap)

    profit_of = _profit_selling_on_book if is_buying_on_pool else _profit_buying_on_book
    keep = Fraction(1) if is_buying_on_pool else 1 - terms.taker_fee

    def base_of(lots: int) -> int:
        return math.floor(lots * terms.lot_base_raw * keep)

    best = 0
    for lots in range(1, (held if cap is None else cap) + 1):
        try:
            best = max(best, costs.expect(profit_of(pool, levels, terms, lots), base_of(lots)))
        except Refused:
            break
    if found is None:
        assert best <= NOISE_RAW
        return
    assert found.profit_quote_raw > 0
    assert found.profit_quote_raw >= best - NOISE_RAW
    expected = costs.expect(profit_of(pool, levels, terms, found.lots), base_of(found.lots))
    assert found.profit_quote_raw == expected
    assert cap is None or found.lots <= cap


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_both_legs_move_the_same_base_and_the_pool_gives_what_was_promised(seed: int) -> None:
    chance = random.Random(seed)
    pool, terms = random_pool(chance), random_terms(chance)
    bids = random_levels(chance, pool, is_bids=True)
    if size := optimal_buy_on_pool_sell_on_book(pool, bids, terms):
        assert size.pool_out_raw == size.lots * terms.lot_base_raw
        # The swap is sent as exact input: it must give at least the base that the book leg sells.
        assert pool.quote_exact_in_down(QUOTE, size.pool_in_raw) >= size.pool_out_raw
        assert size.limit_ticks in [ticks for ticks, _ in bids]
    asks = random_levels(chance, pool, is_bids=False)
    if size := optimal_buy_on_book_sell_on_pool(pool, asks, terms):
        assert size.pool_in_raw == math.floor(size.lots * terms.lot_base_raw * (1 - terms.taker_fee))
        assert pool.quote_exact_in_down(BASE, size.pool_in_raw) == size.pool_out_raw
        assert size.profit_quote_raw == size.pool_out_raw - size.book_quote_raw


def random_costs(chance: random.Random, terms: BookTerms) -> LegCosts:
    """Nothing, gas, or risks too: up to a third of the trades fail, at up to 60 bps of a price near 3,000."""
    gas = chance.choice([0, 10**5, 10**7])
    if chance.random() < 0.3:
        return LegCosts(gas)
    bp = Fraction(3_000 * 10**6, 10**18 * 10_000)
    return LegCosts(gas, Fraction(chance.randint(0, 333), 1_000), bp * chance.randint(0, 60), bp * chance.randint(0, 9))


def test_risks_make_trades_smaller_or_none_and_are_taken_off_what_is_expected() -> None:
    rate = Fraction(3 * 10**9, 10**18)
    pool = V2Pool("p", BASE, QUOTE, 3000)
    pool.apply(
        PoolSnapshotted(
            time_ns=0, pool="p", block_number=1, kind="v2", token0=BASE, token1=QUOTE, fee_pips=3000,
            reserve0=str(1000 * 10**18), reserve1=str(2_950_000 * 10**6),
        )
    )  # fmt: skip
    terms = BookTerms(BASE, QUOTE, 10**15, Fraction(10), Fraction(4, 10_000))
    bids = [(300_000 - level, 1_000) for level in range(30)]
    plain = optimal_buy_on_pool_sell_on_book(pool, bids, terms)
    risky = LegCosts(0, Fraction(1, 10), rate * 20 / 10_000)
    priced = optimal_buy_on_pool_sell_on_book(pool, bids, terms, costs=risky)
    assert plain is not None
    assert priced is not None
    assert priced.lots < plain.lots
    # What it expects is less than what it earns when nothing fails.
    assert priced.profit_quote_raw < priced.book_quote_raw - priced.pool_in_raw
    moving = LegCosts(inventory=rate * 200 / 10_000)
    assert optimal_buy_on_pool_sell_on_book(pool, bids, terms, costs=moving) is None
    certain = LegCosts(0, Fraction(999, 1_000), rate * 20 / 10_000)
    assert optimal_buy_on_pool_sell_on_book(pool, bids, terms, costs=certain) is None
    for wrong in (
        {"failure": Fraction(1)},
        {"unwind": Fraction(-1)},
        {"inventory": Fraction(-1)},
        {"gas_quote_raw": -1},
    ):
        with pytest.raises(InputError, match="impossible costs"):
            LegCosts(**wrong)


def test_an_empty_book_or_no_lots_give_nothing() -> None:
    chance = random.Random(1)
    pool, terms = random_pool(chance), random_terms(chance)
    rich_bids, cheap_asks = [(10**9, 5)], [(1, 5)]
    assert optimal_buy_on_pool_sell_on_book(pool, rich_bids, terms) is not None
    assert optimal_buy_on_book_sell_on_pool(pool, cheap_asks, terms) is not None
    for optimise, levels in (
        (optimal_buy_on_pool_sell_on_book, rich_bids),
        (optimal_buy_on_book_sell_on_pool, cheap_asks),
    ):
        assert optimise(pool, [], terms) is None
        assert optimise(pool, levels, terms, lots_max=0) is None
        assert optimise(pool, levels, terms, costs=LegCosts(10**18)) is None


def test_a_stale_replica_gives_no_size() -> None:
    chance = random.Random(1)
    pool, terms = random_pool(chance), random_terms(chance)
    pool.apply(PoolInvalidated(time_ns=0, pool="p", reason="reorg"))
    with pytest.raises(Refused, match="reorg"):
        optimal_buy_on_pool_sell_on_book(pool, [(10**9, 5)], terms)


def test_terms_translate_venue_units_to_chain_units_exactly() -> None:
    venue = VenueId("sandbox")
    btc = Instrument(
        venue, "BTCUSDC", venue_asset(venue, "BTC"), venue_asset(venue, "USDC"),
        tick_size=Decimal("0.01"), lot_size=Decimal("0.00001"), min_notional=Decimal(5),
        maker_fee_bps=Decimal(0), taker_fee_bps=Decimal("7.5"),
    )  # fmt: skip
    terms = BookTerms.of(btc, Asset("eip155:1/erc20:w", "WBTC", 8), Asset("eip155:1/erc20:u", "USDC", 6))
    assert terms.lot_base_raw == 1000
    assert terms.tick_quote_raw == Fraction(1, 10)
    assert terms.taker_fee == Fraction(75, 100_000)
    # One lot at 60,000.00 is 0.6 USDC.
    assert 6_000_000 * terms.tick_quote_raw == 600_000
    with pytest.raises(InputError, match="no whole"):
        BookTerms.of(btc, Asset("eip155:1/erc20:w", "WBTC", 4), Asset("eip155:1/erc20:u", "USDC", 6))
