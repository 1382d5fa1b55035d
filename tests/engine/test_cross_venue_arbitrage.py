"""Arbitrage on real pool replicas: every stage, and flat at the end whatever goes wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dex.arbitrage.book import (
    BookTerms,
    LegCosts,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)
from domain import OrderState, Side
from domain import events as e
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrage, CrossVenueArbitrageSettings, Stage
from tests.engine.markets import (
    ETH,
    ETHUSDC,
    SECOND,
    TOKEN_USDC,
    V2,
    V3,
    WETH,
    block,
    book,
    fill,
    native_pool_kernel,
    order_id,
    report,
    settled,
    timer,
    v2_at,
    v3_at,
)

CHEAP, DEAR = 2_950, 3_050
"""Prices at which the pool is worth buying from or selling to, with the book at 3,000."""
GAP = e.BookInvalidated(time_ns=SECOND, instrument=ETHUSDC.id, reason="gap")


class Desk:
    """The strategy in its kernel, and what it commanded."""

    def __init__(self, *, pools=(V3,), limits=None, **settings):
        settings = {"notional_max": 3_000, "profit_min": 1, **settings}
        self.strategy = CrossVenueArbitrage(CrossVenueArbitrageSettings(instrument=ETHUSDC.id, pools=pools, **settings))
        self.kernel = native_pool_kernel(self.strategy, pools=pools, book_age_ms_max=10**9, **(limits or {}))
        self.kernel.step(book())
        self.commands: list[e.Command] = []

    def tell(self, *events):
        for event in events:
            self.commands += self.kernel.step(event)
        return self

    def last(self, kind):
        return next(c for c in reversed(self.commands) if isinstance(c, kind))

    def count(self, kind):
        return sum(isinstance(c, kind) for c in self.commands)

    def opportunity(self, price=DEAR, now_ns=SECOND):
        self.tell(v3_at(price, now_ns=now_ns), book(now_ns))
        return self.last(e.PlaceOrder)

    def filled(self, order, lots=None, *, trade_id="1", now_ns=SECOND, fee_raw=0):
        ticks = order.price_ticks
        lots = order.qty_lots if lots is None else lots
        return self.tell(
            fill(order.client_order_id, lots, side=order.side, ticks=ticks, trade_id=trade_id, fee_raw=fee_raw,
                 now_ns=now_ns)
        )  # fmt: skip

    def ended(self, order, state=OrderState.EXPIRED, now_ns=SECOND):
        return self.tell(report(order.client_order_id, state, now_ns))

    @property
    def position(self):
        return self.kernel.portfolio.position("ETH", "arb")


def terms():
    return BookTerms.of(ETHUSDC, WETH, TOKEN_USDC)


def costs():
    """Gas at 2 gwei; two fees of 4 bps and a spread of 0.20 on 3,000 in two of a hundred trades."""
    gas = round(180_000 * (10**9 + 10**9) / 1e18 * 3_000 * 10**6)
    unwind = (2 * 3_000 * Fraction(4, 10_000) + Fraction(20, 100)) * Fraction(TOKEN_USDC.unit, WETH.unit)
    return LegCosts(gas, Fraction(2, 100), unwind)


# --- sizes


def test_dear_pool_is_sold_to_in_the_size_dex_computes():
    desk = Desk()
    order = desk.opportunity(DEAR)
    replica, shown = desk.kernel.markets.pools[V3].replica, desk.kernel.markets.books[ETHUSDC.id]
    best = optimal_buy_on_book_sell_on_pool(replica, shown.asks, terms(), costs=costs(), lots_max=10_000)
    assert best is not None
    assert (order.side, order.qty_lots, order.price_ticks) == (Side.BUY, best.lots, best.limit_ticks)
    assert order.time_in_force == "ioc"


def test_cheap_pool_is_bought_from():
    desk = Desk()
    order = desk.opportunity(CHEAP)
    replica, shown = desk.kernel.markets.pools[V3].replica, desk.kernel.markets.books[ETHUSDC.id]
    best = optimal_buy_on_pool_sell_on_book(replica, shown.bids, terms(), costs=costs(), lots_max=10_000)
    assert best is not None
    assert (order.side, order.qty_lots, order.price_ticks) == (Side.SELL, best.lots, best.limit_ticks)


def test_fair_pools_and_small_profits_are_left_alone():
    assert Desk().tell(v3_at(3_000), book()).count(e.PlaceOrder) == 0
    assert Desk(profit_min=1_000).tell(v3_at(DEAR), book()).count(e.PlaceOrder) == 0


def test_better_of_two_pools_is_taken():
    # Both pools are told while there is no book to trade on.
    desk = Desk(pools=(V2, V3)).tell(GAP, v2_at(3_030), v3_at(DEAR), book())
    order = desk.last(e.PlaceOrder)
    desk.filled(order)
    assert desk.last(e.SubmitSwap).pool == V3


def test_notional_and_holdings_bound_the_size():
    order = Desk(notional_max=300).opportunity()
    assert 0 < ETHUSDC.notional(300_000, order.qty_lots) <= 300


def test_invalid_replica_or_book_is_never_traded_on():
    desk = Desk().tell(GAP, v3_at(DEAR), e.PoolInvalidated(time_ns=SECOND, pool=V3, reason="reorg"), book())
    assert desk.count(e.PlaceOrder) == 0
    desk = Desk().tell(GAP, v3_at(DEAR), block(2))
    assert desk.count(e.PlaceOrder) == 0


# --- stages


@pytest.mark.parametrize("price", [CHEAP, DEAR])
@pytest.mark.parametrize("share", [1, 3])
def test_pool_leg_offsets_exactly_what_the_exchange_leg_filled(price, share):
    desk = Desk()
    order = desk.opportunity(price)
    lots = order.qty_lots // share
    desk.filled(order, lots).ended(order)
    swap = desk.last(e.SubmitSwap)
    base_raw = lots * WETH.unit // 10_000
    if order.side is Side.BUY:
        assert (swap.token_in, int(swap.amount_in)) == (WETH.id, base_raw)
        desk.tell(settled(swap.intent_id, amount_in=base_raw, amount_out=int(swap.min_amount_out)))
    else:
        assert swap.token_in == TOKEN_USDC.id
        assert int(swap.min_amount_out) == base_raw * 9_990 // 10_000
        desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=base_raw))
    assert desk.strategy.stage is Stage.IDLE
    assert desk.kernel.is_idle
    assert desk.position == pytest.approx(0, abs=1e-12)


def test_fee_in_the_base_asset_is_not_sold_to_the_pool():
    desk = Desk()
    order = desk.opportunity(DEAR)
    bought = fill(order.client_order_id, order.qty_lots, ticks=order.price_ticks, fee_raw=777).fill
    desk.tell(e.FillReported(time_ns=SECOND, fill=type(bought)(**{**as_dict(bought), "fee_asset": "ETH"})))
    raw = order.qty_lots * ETH.unit // 10_000 - 777
    assert int(desk.last(e.SubmitSwap).amount_in) == raw * WETH.unit // ETH.unit


def as_dict(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize("end", [OrderState.EXPIRED, OrderState.REJECTED, OrderState.CANCELED])
def test_nothing_filled_ends_the_attempt(end):
    desk = Desk()
    order = desk.opportunity()
    desk.ended(order, end)
    assert desk.strategy.stage is Stage.IDLE
    assert desk.count(e.SubmitSwap) == 0


@pytest.mark.parametrize("price", [CHEAP, DEAR])
@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_pool_leg_that_did_not_happen_is_unwound_to_flat(price, outcome):
    desk = Desk()
    order = desk.opportunity(price)
    desk.filled(order)
    swap = desk.last(e.SubmitSwap)
    desk.tell(settled(swap.intent_id, outcome))
    unwind = desk.last(e.PlaceOrder)
    assert (unwind.side, unwind.qty_lots) == (order.side.opposite, order.qty_lots)
    # It fills in two goes, with the book gone for a while in between.
    desk.filled(unwind, 10, trade_id="2").ended(unwind)
    desk.tell(e.BookInvalidated(time_ns=SECOND, instrument=ETHUSDC.id, reason="gap"), timer(2 * SECOND))
    assert desk.count(e.PlaceOrder) == 2
    desk.tell(book(2 * SECOND))
    rest = desk.last(e.PlaceOrder)
    assert rest.qty_lots == order.qty_lots - 10
    desk.filled(rest, trade_id="3", now_ns=2 * SECOND).tell(timer(3 * SECOND))
    assert desk.strategy.stage is Stage.IDLE
    assert desk.position == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("limits", "rule"), [({"swap_notional_max": 10}, "swap_notional"), ({"blacklist": (V3,)}, "blacklist")]
)
def test_pool_leg_the_gate_refuses_is_unwound_and_not_tried_again_at_once(limits, rule):
    desk = Desk(limits=limits)
    order = desk.opportunity()
    desk.filled(order)
    assert desk.last(e.RiskRejected).rule == rule
    unwind = desk.last(e.PlaceOrder)
    assert unwind.side is Side.SELL
    desk.filled(unwind, trade_id="2")
    desk.tell(timer(SECOND + SECOND // 2))
    assert desk.strategy.stage is Stage.IDLE
    # The opportunity is still there, and each attempt costs two taker fees.
    for tenth in range(11, 29):
        desk.tell(book(tenth * SECOND // 10))
    assert desk.count(e.PlaceOrder) == 2


def test_pauses_double_and_a_success_ends_them():
    desk = Desk()
    now_ns = SECOND
    for seconds in (2, 4, 8, 16, 32, 60, 60):
        order = desk.opportunity(DEAR, now_ns)
        desk.filled(order, trade_id=f"a{now_ns}", now_ns=now_ns)
        desk.tell(settled(desk.last(e.SubmitSwap).intent_id, "failed", now_ns=now_ns))
        desk.filled(desk.last(e.PlaceOrder), trade_id=f"b{now_ns}", now_ns=now_ns).tell(timer(now_ns + SECOND))
        assert desk.strategy.stage is Stage.IDLE
        sent = desk.count(e.PlaceOrder)
        assert desk.tell(book(now_ns + seconds * SECOND - 1)).count(e.PlaceOrder) == sent
        now_ns += seconds * SECOND
    order = desk.opportunity(DEAR, now_ns)
    desk.filled(order, now_ns=now_ns)
    swap = desk.last(e.SubmitSwap)
    desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=1, block_number=1, now_ns=now_ns))
    assert desk.opportunity(DEAR, now_ns + 1).client_order_id != order.client_order_id


def test_unwind_the_gate_finds_too_large_goes_in_pieces():
    desk = Desk(limits={"order_notional_max": 3_010}, notional_max=3_000)
    order = desk.opportunity()
    desk.filled(order)
    # The price doubled: what was bought is worth more than one order may be.
    desk.tell(book(2 * SECOND, bids=((599_990, 90_000),), asks=((600_010, 90_000),)))
    desk.tell(settled(desk.last(e.SubmitSwap).intent_id, "failed", now_ns=2 * SECOND))
    for half in range(5, 60):
        now_ns = half * SECOND // 2
        desk.tell(timer(now_ns))
        last = desk.last(e.PlaceOrder)
        if last is not order and desk.kernel.orders.orders[last.client_order_id].state.is_open:
            desk.filled(last, trade_id=f"u{half}", now_ns=now_ns)
    assert desk.strategy.stage is Stage.IDLE
    assert desk.position == pytest.approx(0, abs=1e-12)


def test_cooldown_does_not_hold_back_an_unwind():
    desk = Desk(cooldown_ms=60_000)
    order = desk.opportunity()
    desk.filled(order).tell(settled(desk.last(e.SubmitSwap).intent_id, "failed"))
    assert desk.count(e.PlaceOrder) == 2


def test_trade_told_after_the_orders_end_is_unwound():
    desk = Desk()
    order = desk.opportunity()
    desk.filled(order, 40).ended(order)
    swap = desk.last(e.SubmitSwap)
    desk.filled(order, 60, trade_id="late")
    desk.tell(settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=int(swap.min_amount_out)))
    unwind = desk.last(e.PlaceOrder)
    assert (unwind.side, unwind.qty_lots) == (Side.SELL, 60)
    desk.filled(unwind, trade_id="3").tell(timer(2 * SECOND))
    assert desk.strategy.stage is Stage.IDLE
    assert desk.position == pytest.approx(0, abs=1e-12)


def test_what_is_too_small_to_trade_ends_the_unwind():
    desk = Desk()
    order = desk.opportunity()
    desk.filled(order, 10).ended(order)  # 3 USDC; the venue's minimum is 5.
    desk.tell(settled(desk.last(e.SubmitSwap).intent_id, "failed"))
    assert desk.strategy.stage is Stage.IDLE
    assert desk.count(e.PlaceOrder) == 1


def test_pool_is_looked_at_again_only_with_our_swap_in_it():
    desk = Desk()
    order = desk.opportunity()
    desk.filled(order)
    swap = desk.last(e.SubmitSwap)
    mined = settled(swap.intent_id, amount_in=int(swap.amount_in), amount_out=10**10, block_number=7)
    desk.tell(mined, book())
    assert desk.count(e.PlaceOrder) == 1
    desk.tell(v3_at(DEAR, block_number=7), book())
    assert desk.count(e.PlaceOrder) == 2


# --- ends


def test_stopping_starts_nothing_and_finishes_what_is_in_flight():
    desk = Desk()
    order = desk.opportunity()
    desk.tell(e.OperatorSpoke(time_ns=SECOND, command="stop"))
    assert not desk.kernel.is_idle
    desk.filled(order)
    swap = desk.last(e.SubmitSwap)
    desk.tell(settled(swap.intent_id, "failed"))
    desk.filled(desk.last(e.PlaceOrder), trade_id="2").tell(timer(2 * SECOND), book(2 * SECOND), block(3, 2 * SECOND))
    assert desk.kernel.is_idle
    assert desk.count(e.PlaceOrder) == 2


@pytest.mark.parametrize("stage", ["exchange", "pool", "unwind"])
def test_restart_in_any_stage_goes_on_to_flat(stage):
    desk = Desk()
    order = desk.opportunity()
    restart = e.EngineRestarted(time_ns=SECOND, epoch=1)
    fresh = (v3_at(DEAR), book())
    if stage == "exchange":
        desk.tell(restart)
        assert desk.last(e.AskOrder).client_order_id == order.client_order_id
        desk.tell(*fresh).filled(order)
    else:
        desk.filled(order)
    swap = desk.last(e.SubmitSwap)
    if stage == "pool":
        sent = desk.count(e.SubmitSwap)
        desk.tell(restart, *fresh)
        assert desk.count(e.SubmitSwap) == sent + 1
        assert desk.last(e.SubmitSwap) == swap
    desk.tell(settled(swap.intent_id, "failed"))
    unwind = desk.last(e.PlaceOrder)
    if stage == "unwind":
        desk.tell(restart)
        assert desk.last(e.AskOrder).client_order_id == unwind.client_order_id
        desk.ended(unwind, OrderState.REJECTED).tell(*fresh, book(2 * SECOND))
        unwind = desk.last(e.PlaceOrder)
        assert unwind.client_order_id == order_id(epoch=1, sequence=4)
    desk.filled(unwind, trade_id="2", now_ns=2 * SECOND).tell(timer(3 * SECOND))
    assert desk.strategy.stage is Stage.IDLE
    assert desk.position == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("status", ["mined", "failed"])
def test_halt_with_a_swap_in_flight_leaves_nothing_stuck_after_resuming(status):
    desk = Desk()
    order = desk.opportunity()
    desk.filled(order).ended(order)
    swap = desk.last(e.SubmitSwap)
    desk.tell(e.OperatorSpoke(time_ns=SECOND, command="kill"))
    placed = desk.count(e.PlaceOrder)
    amounts = {"amount_in": int(swap.amount_in), "amount_out": int(swap.min_amount_out)} if status == "mined" else {}
    desk.tell(settled(swap.intent_id, status, **amounts), book(2 * SECOND), timer(2 * SECOND))
    assert desk.count(e.PlaceOrder) == placed  # Told, but not acting.

    desk.tell(e.OperatorSpoke(time_ns=3 * SECOND, command="resume"), book(3 * SECOND))
    if status == "failed":
        unwind = desk.last(e.PlaceOrder)
        assert (unwind.side, unwind.qty_lots) == (order.side.opposite, order.qty_lots)
        desk.filled(unwind, trade_id="2", now_ns=3 * SECOND).tell(timer(4 * SECOND))
    assert desk.strategy.is_idle
