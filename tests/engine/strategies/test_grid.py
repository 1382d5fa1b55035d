"""A grid: where its orders lie, that cells follow from the position alone, what a round trip earns, giving up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import Side
from engine.strategies.grid import Grid, GridSettings
from tests.engine.sdk.runs import BTC, market, records, run
from tests.engine.strategies.desk import Desk

BASE = {
    "instrument": "one:ETHUSDC", "qty": "0.1", "cells": 4, "lower": "2980", "upper": "3020", "spacing": "arithmetic",
    "refresh_ms": 0,
}  # fmt: skip


def desk(**settings):
    return Desk(GridSettings(**{**BASE, **settings}))


def test_below_the_mid_it_buys_above_it_sells():
    made = desk()
    made.book(299_490, 299_510)
    # Edges at 2,980 … 3,020. The mid of 2,995 is inside the second cell, which counts as above.
    assert made.quotes(Side.BUY) == [(298_000, 100)]
    assert made.quotes(Side.SELL) == [(300_000, 100), (301_000, 100), (302_000, 100)]


def test_a_round_trip_moves_to_the_next_edge_and_back():
    made = desk()
    made.book(299_490, 299_510)
    made.fill(made.resting(Side.SELL)[0])
    made.book(300_090, 300_110)
    assert made.quotes(Side.BUY) == [(299_000, 100), (298_000, 100)]
    assert made.quotes(Side.SELL) == [(301_000, 100), (302_000, 100)]
    made.fill(made.resting(Side.BUY)[0])
    made.book(299_090, 299_110)
    # Sold at 3,000, bought at 2,990: as it began, and a cell's height richer.
    assert made.quotes(Side.BUY) == [(298_000, 100)]
    assert made.quotes(Side.SELL) == [(300_000, 100), (301_000, 100), (302_000, 100)]


def test_half_a_fill_is_half_a_cell():
    made = desk()
    made.book(299_490, 299_510)
    made.fill(made.resting(Side.SELL)[0], 30)
    made.book(299_490, 299_510)
    assert made.quotes(Side.BUY) == [(299_000, 30), (298_000, 100)]
    assert made.quotes(Side.SELL) == [(300_000, 70), (301_000, 100), (302_000, 100)]


def test_a_jump_over_edges_is_sold_at_the_touch():
    made = desk()
    made.book(299_490, 299_510)
    made.lose_book()
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []
    made.book(301_490, 301_510)
    assert made.quotes(Side.SELL) == [(301_491, 200), (302_000, 100)]


def test_only_the_nearest_rest():
    made = desk(cells=40, active=3)
    made.book(299_990, 300_010)
    # 3,000 is an edge: the cell above it begins full.
    assert [price for price, _ in made.quotes(Side.BUY)] == [299_900, 299_800, 299_700]
    assert [price for price, _ in made.quotes(Side.SELL)] == [300_100, 300_200, 300_300]


def test_geometric_cells_are_equal_in_percent_and_lie_around_the_first_mid():
    made = desk(lower=None, upper=None, width_bps="1000", cells=10, spacing="geometric")
    made.book(299_990, 300_010)
    edges = made.strategy.edges(300_000.0)
    ratios = [high / low for low, high in pairwise(edges)]
    assert (edges[0], edges[-1]) == (270_000, 330_000)
    assert ratios == pytest.approx([(330 / 270) ** 0.1] * 10, rel=1e-5)


def test_edges_are_at_least_a_tick_apart():
    made = desk(lower="3000", upper="3000.02", cells=10)
    made.book(299_990, 300_010)
    assert made.strategy.edges(0.0) == [300_000 + at for at in range(11)]


@given(position=st.integers(-300, 100), bid=st.integers(297_000, 303_000), spread=st.integers(1, 3_000))
def test_orders_never_cross_and_always_add_up_to_the_grid(position, bid, spread):
    grid = Grid(GridSettings(**BASE))
    grid._edges, grid._cell_lots, grid._began_full = [298_000, 299_000, 300_000, 301_000, 302_000], 100, 300
    bids, asks = grid.orders(position, bid, bid + spread)
    assert sum(lots for _, lots in asks) == 300 + position
    assert sum(lots for _, lots in bids) == 100 - position
    assert all(price < bid + spread for price, _ in bids)
    assert all(price > bid for price, _ in asks)
    assert not bids or not asks or bids[0][0] < asks[0][0]


def test_beyond_its_range_it_closes_and_stays_out():
    made = desk(exit_bps="10", exit_slippage_bps="10")
    made.book(299_490, 299_510)
    made.fill(made.resting(Side.BUY)[0])
    made.book(297_790, 297_810)  # Within 10 bps of 2,980.
    assert len(made.resting(Side.SELL)) == 4
    made.book(297_490, 297_510)
    (order,) = made.placed()
    assert (order.side, order.price_ticks, order.qty_lots, order.time_in_force) == (Side.SELL, 297_193, 100, "ioc")
    made.fill(next(o for o in made.kernel.orders.open_orders("s") if o.client_order_id == order.client_order_id))
    made.book(299_490, 299_510)
    assert made.placed() == []
    assert made.resting(Side.BUY) == made.resting(Side.SELL) == []


def test_without_an_exit_it_waits():
    made = desk()
    made.book(299_490, 299_510)
    made.book(250_000, 250_020)
    assert len(made.resting(Side.SELL)) == 3


def test_state_goes_over_and_ranges_that_cannot_be_are_refused():
    made, other = desk(), desk()
    made.book(299_490, 299_510)
    other.strategy.restore(made.strategy.state())
    assert other.strategy.state() == made.strategy.state() != desk().strategy.state()
    with pytest.raises(ValidationError, match="go together"):
        desk(lower=None)
    with pytest.raises(ValidationError, match="is not below"):
        desk(lower="3020")


def test_it_trades_in_a_market():
    made = run(
        Grid(GridSettings(instrument=BTC.name, qty="0.01", cells=40, width_bps="2", refresh_ms=50)), market(seconds=30)
    )
    fills, _ = records(made)
    assert len(fills) > 10
    assert abs(made.standing(0, 0)[0]) <= 40 * 10
