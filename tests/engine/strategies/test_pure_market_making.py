"""Pure market making: distances, levels, leaning, what keeps its place, and what hangs until the trip is closed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from domain import Side
from engine.strategies.hanging import after_fill, together
from engine.strategies.pure_market_making import PureMarketMakingSettings
from tests.engine.strategies.desk import Desk

BASE = {"instrument": "one:ETHUSDC", "qty": "0.1", "inventory_max": "1", "spread_bps": "10", "step_bps": "5"}


def desk(**settings):
    return Desk(PureMarketMakingSettings(**{**BASE, **settings}))


def test_levels_lie_at_their_distances_and_grow():
    made = desk(levels=3, qty_step="0.05")
    made.book(299_990, 300_010)
    # The mid is 3,000.00: 5, 10 and 15 bps of it are 1.50, 3.00 and 4.50.
    assert made.quotes(Side.BUY) == [(299_850, 100), (299_700, 150), (299_550, 200)]
    assert made.quotes(Side.SELL) == [(300_150, 100), (300_300, 150), (300_450, 200)]
    assert {o.type for o in made.placed()} == {"limit_maker"}


def test_a_wide_market_is_not_crossed_and_levels_stay_apart():
    made = desk(levels=3, spread_bps="0.001", step_bps="0.001")
    made.book(299_990, 300_010)
    assert [price for price, _ in made.quotes(Side.BUY)] == [299_999, 299_998, 299_997]
    assert [price for price, _ in made.quotes(Side.SELL)] == [300_001, 300_002, 300_003]
    made = desk(levels=1, spread_bps="0.001", skew_bps="20")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_990, 300_010)
    assert made.quotes(Side.SELL)[0][0] > 299_990


def test_what_is_near_enough_keeps_its_order():
    made = desk(requote_bps="1")  # 0.30
    made.book(299_990, 300_010)
    made.book(300_010, 300_030)
    assert made.commands == []
    made.book(300_040, 300_060)
    assert len(made.cancelled()) == len(made.placed()) == 2


def test_it_looks_once_in_each_interval():
    made = desk(refresh_ms=10_000, requote_bps="0")
    made.book(299_990, 300_010, after_s=9)
    made.book(300_990, 301_010, after_s=1)
    assert made.commands == []
    made.book(300_990, 301_010, after_s=9)
    assert len(made.placed()) == 2


def test_inventory_moves_the_reference_and_the_sizes():
    made = desk(skew_bps="10", size_skew="0.5", inventory_max="0.2", requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])  # Half full.
    made.book(299_990, 300_010)
    # The reference is 5 bps lower: 2,998.50.
    assert made.quotes(Side.BUY) == [(299_700, 75)]
    assert made.quotes(Side.SELL) == [(300_000, 125)]


def test_quotes_together_never_exceed_the_inventory():
    made = desk(levels=3, inventory_max="0.25")
    made.book(299_990, 300_010)
    assert [lots for _, lots in made.quotes(Side.BUY)] == [100, 100, 50]
    for order in made.resting(Side.BUY):
        made.fill(order)
    made.book(299_990, 300_010)
    assert made.quotes(Side.BUY) == []
    assert [lots for _, lots in made.quotes(Side.SELL)] == [100, 100, 50, 50]  # Filled up to a level's size.


def test_target_is_what_it_tends_to():
    made = desk(inventory_target="0.5", inventory_max="0.5", levels=10)
    made.book(299_990, 300_010)
    assert sum(lots for _, lots in made.quotes(Side.BUY)) == 1_000
    assert made.quotes(Side.SELL) == []


def test_bounds_of_price():
    made = desk(price_floor="3000.5", price_ceiling="3100")
    made.book(299_990, 300_010)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == (0, 1)
    made.book(309_990, 310_010)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == (1, 0)
    with pytest.raises(ValidationError, match="is not below"):
        desk(price_floor="2", price_ceiling="1")


def test_after_a_fill_it_pauses():
    made = desk(filled_pause_ms=5_000)
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_990, 300_010, after_s=2)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == (0, 1)
    made.book(299_990, 300_010, after_s=4)
    assert (len(made.quotes(Side.BUY)), len(made.quotes(Side.SELL))) == (1, 1)


# --- hanging orders


def test_other_side_of_a_filled_level_hangs_where_it_was():
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    hanging = made.resting(Side.SELL)[0]
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_790, 299_810)  # Fresh quotes 2.00 lower.
    assert made.quotes(Side.BUY) == [(299_650, 100)]
    assert made.quotes(Side.SELL) == [(299_950, 100), (300_150, 100)]
    assert hanging.client_order_id not in made.cancelled()
    made.fill(hanging)
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100)]


def test_without_it_the_other_side_follows():
    made = desk(requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100)]


def test_half_a_level_does_not_hang_and_a_hanging_half_is_not_filled_up():
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0], 40)
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100)]
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.fill(made.resting(Side.SELL)[0], 30)
    made.book(299_790, 299_810)
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100), (300_150, 70)]


def test_what_hangs_too_far_away_is_given_up():
    made = desk(hanging=True, hanging_distance_max_bps="20", requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_990, 300_010)
    assert made.quotes(Side.SELL) == [(300_150, 100), (300_150, 100)]
    made.book(298_990, 299_010)
    assert made.quotes(Side.SELL) == [(299_150, 100)]


def test_what_hangs_and_a_fresh_quote_share_a_price():
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_990, 300_010)
    # Another hundred beside the first, both at 3,001.50.
    assert made.quotes(Side.SELL) == [(300_150, 100), (300_150, 100)]
    made.fill(made.resting(Side.SELL)[0])
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100)]


def test_hanging_lots_count_towards_the_inventory():
    made = desk(hanging=True, inventory_max="0.2", requote_bps="0")
    for mid in (300_000, 299_800, 299_600):
        made.book(mid - 10, mid + 10)
        if bids := made.resting(Side.BUY):
            made.fill(bids[0])
    made.book(299_390, 299_410)
    held = 200
    assert sum(lots for _, lots in made.quotes(Side.SELL)) <= held + 200
    assert made.quotes(Side.BUY) == []


def test_stale_book_withdraws_everything_and_what_hangs_comes_back():
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_790, 299_810)
    made.lose_book()
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []
    made.book(299_790, 299_810)
    assert made.quotes(Side.SELL) == [(299_950, 100), (300_150, 100)]


def test_stop_withdraws_for_good():
    made = desk(hanging=True, requote_bps="0")
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    made.stop()
    made.book(299_790, 299_810)
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []


def test_state_goes_over_to_another_process():
    made, other = desk(hanging=True), desk(hanging=True)
    made.book(299_990, 300_010)
    made.fill(made.resting(Side.BUY)[0])
    other.strategy.restore(made.strategy.state())
    assert other.strategy.state() == made.strategy.state() != desk().strategy.state()


def test_parameters_change_while_it_runs():
    made = desk(requote_bps="0")
    made.book(299_990, 300_010)
    made.strategy.reconfigure(None, PureMarketMakingSettings(**{**BASE, "spread_bps": "20", "levels": 2}))
    made.book(299_990, 300_010)
    assert [price for price, _ in made.quotes(Side.BUY)] == [299_700, 299_550]


def test_fills_come_off_the_oldest_first_and_prices_are_added_up():
    hanging = [[1, 10, 3], [0, 10, 4], [1, 10, 5]]
    assert after_fill(hanging, 1, 10, 4) == ([[0, 10, 4], [1, 10, 4]], 0)
    assert after_fill(hanging, 1, 10, 9) == ([[0, 10, 4]], 1)
    assert after_fill(hanging, 0, 11, 9) == (hanging, 9)
    assert together([(10, 1), (9, 1)], hanging, 1) == ((10, 9), (9, 1))
