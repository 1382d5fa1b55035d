"""Avellaneda–Stoikov quotes against the paper's closed form, and inventory that is leaned on, bounded and hedged."""

from __future__ import annotations

import math

import pytest

from domain import OrderState, Side
from domain import events as e
from engine.strategies.avellaneda_stoikov import AvellanedaStoikov, AvellanedaStoikovSettings
from tests.engine.markets import (
    ETHUSDC,
    SECOND,
    TOKEN_USDC,
    V2,
    V3,
    WETH,
    book,
    fill,
    native_pool_kernel,
    report,
    settled,
    timer,
    v2_at,
    v3_at,
)

BASE = {
    "instrument": ETHUSDC.id,
    "order_qty": "0.1",
    "risk_aversion": "0.1",
    "arrival_decay": "1.5",
    "horizon_s": "1",
    "volatility_floor": "2",
    "spread_min_bps": "0.001",
    "inventory_max": "1",
    "hedge_above": "100",
}


class Desk:
    """The strategy in its kernel, and what it commanded."""

    def __init__(self, *, pools=(), limits=None, **settings):
        self.strategy = AvellanedaStoikov(AvellanedaStoikovSettings(**{**BASE, **settings}, hedge_pools=pools))
        limits = {"book_age_ms_max": 10**9, "messages_per_second_max": 10**6, **(limits or {})}
        self.kernel = native_pool_kernel(self.strategy, pools=pools, **limits)
        self.commands: list[e.Command] = []

    def tell(self, *events):
        self.commands = []
        for event in events:
            self.commands += self.kernel.step(event)
        return self.commands

    def orders(self):
        return {c.side: c for c in self.commands if isinstance(c, e.PlaceOrder)}

    def cancels(self):
        return [c.client_order_id for c in self.commands if isinstance(c, e.CancelOrder)]

    def swaps(self):
        return [c for c in self.commands if isinstance(c, e.SubmitSwap)]

    def hold(self, lots, side=Side.BUY, now_ns=SECOND):
        """Let a quote of ours trade `lots` (in as many orders as it takes), so that we hold them."""
        trade = 0
        while lots:
            self.tell(book(now_ns))
            live = next(o for o in self.kernel.orders.open_orders("mm") if o.side is side and not o.cancel_time_ns)
            part = min(lots, live.open_lots)
            lots, trade = lots - part, trade + 1
            self.tell(
                fill(live.client_order_id, part, side=side, ticks=live.price_ticks,
                     trade_id=f"{live.client_order_id}{trade}", now_ns=now_ns)
            )  # fmt: skip


# --- the formula


@pytest.mark.parametrize(
    ("mid", "q", "gamma", "kappa", "sigma", "tau", "bid", "ask"),
    [
        # By hand from Avellaneda & Stoikov (2008): r = s - q·γ·σ²·τ, and a spread of γ·σ²·τ + (2/γ)·ln(1 + γ/κ).
        (100.0, 0, "0.1", "1.5", "2", "1", 99.154615, 100.845385),
        (100.0, 1, "0.1", "1.5", "2", "1", 98.754615, 100.445385),
        (100.0, -3, "0.1", "1.5", "2", "1", 100.354615, 102.045385),
        (3000.0, 2, "0.01", "0.5", "3", "10", 2995.769738, 3000.630262),
    ],
)
def test_quotes_are_the_papers(mid, q, gamma, kappa, sigma, tau, bid, ask):
    made = AvellanedaStoikov(
        AvellanedaStoikovSettings(
            **{**BASE, "risk_aversion": gamma, "arrival_decay": kappa, "volatility_floor": sigma, "horizon_s": tau}
        )
    ).targets(mid, q)
    assert made == pytest.approx((bid, ask), abs=2e-6)


def test_quotes_lean_against_inventory_and_keep_their_width():
    desk = Desk()
    flat, long, short = (desk.strategy.targets(3_000, q) for q in (0, 1, -1))
    assert long[0] < flat[0] < short[0]
    assert long[1] < flat[1] < short[1]
    assert long[1] - long[0] == pytest.approx(flat[1] - flat[0])


def test_both_sides_rest_post_only_rounded_away_from_the_mid():
    desk = Desk()
    desk.tell(book())
    bid, ask = desk.strategy.targets(3_000.0, 0)
    orders = desk.orders()
    assert orders[Side.BUY].price_ticks == math.floor(bid * 100)
    assert orders[Side.SELL].price_ticks == math.ceil(ask * 100)
    assert {o.type for o in orders.values()} == {"limit_maker"}
    assert {o.qty_lots for o in orders.values()} == {1_000}


def test_leaning_quotes_never_cross_the_touch():
    desk = Desk(risk_aversion="50", horizon_s="0.1", inventory_max="5")
    desk.hold(9_000)
    assert desk.strategy.targets(3_000, 0.9)[1] < 2_999
    desk.tell(book(2 * SECOND))
    sell = next(o for o in desk.kernel.orders.open_orders("mm") if o.side is Side.SELL and not o.cancel_time_ns)
    assert sell.price_ticks == 299_991


def test_volatility_widens_and_calm_narrows_down_to_the_floor():
    desk = Desk(volatility_halflife_s="1")

    def width():
        bid, ask = desk.strategy.targets(3_000, 0)
        return ask - bid

    calm = width()
    for i in range(1, 6):
        shift = 2_000 * (i % 2)
        desk.tell(book(i * SECOND, bids=((299_990 + shift, 1),), asks=((300_010 + shift, 1),)))
    wild = width()
    assert wild > calm
    for i in range(6, 120):
        desk.tell(book(i * SECOND))
    assert width() == pytest.approx(calm)


# --- quoting


@pytest.mark.parametrize(("side", "quoted"), [(Side.BUY, Side.SELL), (Side.SELL, Side.BUY)])
def test_beyond_the_most_inventory_only_the_reducing_side_is_quoted(side, quoted):
    desk = Desk(inventory_max="0.1")
    desk.hold(1_000, side)
    desk.tell(book(2 * SECOND))
    live = {o.side for o in desk.kernel.orders.open_orders("mm") if not o.cancel_time_ns}
    assert live == {quoted}


def test_quotes_move_only_when_the_target_moved_beyond_the_tolerance():
    desk = Desk(requote_bps="1")  # 0.30 at 3,000.
    desk.tell(book())
    desk.tell(book(2 * SECOND, bids=((300_010, 1),), asks=((300_030, 1),)))
    assert desk.commands == []
    desk.tell(book(3 * SECOND, bids=((300_040, 1),), asks=((300_060, 1),)))
    assert len(desk.cancels()) == 2
    assert set(desk.orders()) == {Side.BUY, Side.SELL}


def test_filled_quote_is_replaced():
    desk = Desk()
    desk.hold(1_000)
    desk.tell(book(2 * SECOND))
    assert Side.BUY in desk.orders()


def test_invalid_book_withdraws_everything():
    desk = Desk()
    desk.tell(book())
    desk.tell(e.BookInvalidated(time_ns=SECOND, instrument=ETHUSDC.id, reason="gap"))
    assert len(desk.cancels()) == 2
    assert desk.orders() == {}


def test_stop_withdraws_everything_and_quotes_no_more():
    desk = Desk()
    desk.tell(book())
    desk.tell(e.OperatorSpoke(time_ns=SECOND, command="stop"), timer(SECOND))
    cancelled = desk.cancels()
    assert len(cancelled) == 2
    desk.tell(book(2 * SECOND), timer(2 * SECOND))
    assert desk.orders() == {}
    desk.tell(*(report(order_id, OrderState.CANCELED, 2 * SECOND) for order_id in cancelled))
    assert desk.kernel.is_idle


def test_quote_whose_cancel_was_lost_is_cancelled_again():
    desk = Desk()
    desk.tell(book())
    first = {o.client_order_id for o in desk.kernel.orders.open_orders("mm")}
    desk.tell(*(report(order_id, OrderState.ACCEPTED) for order_id in sorted(first)))
    desk.tell(book(2 * SECOND, bids=((301_000, 1),), asks=((301_020, 1),)))
    assert set(desk.cancels()) == first
    desk.tell(timer(5 * SECOND))
    assert set(desk.cancels()) == first


# --- hedging


@pytest.mark.parametrize(("side", "token_in"), [(Side.BUY, WETH.id), (Side.SELL, TOKEN_USDC.id)])
def test_inventory_is_hedged_once_in_the_direction_that_flattens(side, token_in):
    desk = Desk(pools=(V3,), hedge_above="0.15", hedge_cost_max_bps="50", inventory_max="3")
    desk.hold(2_000, side)
    desk.tell(book(2 * SECOND))
    (swap,) = desk.swaps()
    assert swap.token_in == token_in
    asset, size = (WETH, 0.2) if side is Side.BUY else (TOKEN_USDC, 600)
    assert int(swap.amount_in) / asset.unit == pytest.approx(size, rel=1e-3)
    quoted = desk.kernel.markets.pools[V3].replica.quote_exact_in_down(swap.token_in, int(swap.amount_in))
    assert int(swap.min_amount_out) == quoted * 9_980 // 10_000
    # One at a time; and the engine waits for it.
    assert not desk.kernel.is_idle
    assert not any(isinstance(c, e.SubmitSwap) for c in desk.tell(book(4 * SECOND)))
    desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=quoted, now_ns=4 * SECOND))
    assert abs(desk.kernel.portfolio.position("ETH", "mm")) < 0.001
    assert not any(isinstance(c, e.SubmitSwap) for c in desk.tell(book(6 * SECOND)))


def test_failed_hedge_is_tried_again_later_at_a_fresh_quote():
    desk = Desk(pools=(V3,), hedge_above="0.15", hedge_cost_max_bps="50", inventory_max="3")
    desk.hold(2_000)
    desk.tell(book(2 * SECOND))
    (swap,) = desk.swaps()
    desk.tell(settled(swap.intent_id, "failed", now_ns=2 * SECOND), book(2 * SECOND + 1))
    assert desk.swaps() == []
    desk.tell(v3_at(3_001, block_number=3, now_ns=3 * SECOND), book(3 * SECOND))
    (again,) = desk.swaps()
    assert again.intent_id != swap.intent_id
    assert again.min_amount_out != swap.min_amount_out


def test_cheapest_pool_hedges_and_a_dear_one_never():
    desk = Desk(pools=(V2, V3), hedge_above="0.15", hedge_cost_max_bps="50", inventory_max="3")
    desk.hold(2_000)
    desk.tell(book(2 * SECOND))
    assert [s.pool for s in desk.swaps()] == [V3]
    desk = Desk(pools=(V2, V3), hedge_above="0.15", hedge_cost_max_bps="50", inventory_max="3")
    desk.tell(v2_at(2_900), v3_at(2_900))
    desk.hold(2_000)
    desk.tell(book(2 * SECOND))
    assert desk.swaps() == []


def test_hedge_in_flight_survives_a_restart():
    desk = Desk(pools=(V3,), hedge_above="0.15", hedge_cost_max_bps="50", inventory_max="3")
    desk.hold(2_000)
    desk.tell(book(2 * SECOND))
    (swap,) = desk.swaps()
    desk.tell(e.EngineRestarted(time_ns=3 * SECOND, epoch=1), v3_at(now_ns=3 * SECOND), book(3 * SECOND))
    assert desk.swaps() == [swap]
    desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=600 * 10**6, now_ns=3 * SECOND))
    desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=600 * 10**6, now_ns=3 * SECOND))
    assert abs(desk.kernel.portfolio.position("ETH", "mm")) < 0.001
