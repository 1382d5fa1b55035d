"""Simulated execution: conservative fills, and backtests that do not depend on what the recording did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain import OrderState, OrderType, Side, TimeInForce
from domain import events as e
from engine.replay import CommandDigest, backtest
from engine.simulation import Simulator
from tests.engine.markets import ETHUSDC, SECOND, Script, book, kernel, timer


def order(side=Side.BUY, ticks=300_010, lots=100, kind=OrderType.LIMIT, tif=TimeInForce.IOC, order_id="o"):
    return e.PlaceOrder(
        client_order_id=order_id,
        strategy="s",
        instrument=ETHUSDC.id,
        side=side,
        type=kind,
        time_in_force=tif,
        price_ticks=ticks,
        qty_lots=lots,
    )


def maker(side=Side.BUY, ticks=299_990, lots=100):
    return order(side, ticks, lots, OrderType.LIMIT_MAKER, TimeInForce.GTC)


def simulator():
    k = kernel()
    k.step(book())
    return k, Simulator(k.markets)


def fills(events):
    return [(f.fill.price_ticks, f.fill.qty_lots, f.fill.is_maker) for f in events if isinstance(f, e.FillReported)]


def states(events):
    return [r.state for r in events if isinstance(r, e.OrderReported)]


def trade(ticks, lots, *, is_buyer_maker=True):
    return e.TradePrinted(
        time_ns=SECOND, instrument=ETHUSDC.id, price_ticks=ticks, qty_lots=lots, is_buyer_maker=is_buyer_maker
    )


def test_taker_walks_the_levels_to_its_limit_and_the_rest_expires():
    _, sim = simulator()
    events = sim.on_command(order(lots=50_000, ticks=300_020), SECOND)
    assert fills(events) == [(300_010, 10_000, False), (300_020, 20_000, False)]
    assert states(events) == [OrderState.ACCEPTED, OrderState.EXPIRED]


def test_maker_that_would_take_is_rejected():
    _, sim = simulator()
    assert states(sim.on_command(maker(ticks=300_010), SECOND)) == [OrderState.REJECTED]


def test_maker_waits_behind_the_queue_it_joined():
    _, sim = simulator()
    sim.on_command(maker(lots=100), SECOND)
    assert fills(sim.on_market(trade(299_990, 9_900))) == []
    assert fills(sim.on_market(trade(299_990, 150))) == [(299_990, 50, True)]
    assert fills(sim.on_market(trade(299_990, 500))) == [(299_990, 50, True)]
    assert fills(sim.on_market(trade(299_990, 500))) == []


def test_trade_through_the_price_fills_without_queueing():
    _, sim = simulator()
    sim.on_command(maker(lots=100), SECOND)
    assert fills(sim.on_market(trade(299_980, 30))) == [(299_990, 30, True)]
    assert fills(sim.on_market(trade(299_980, 500, is_buyer_maker=False))) == []


def test_fee_is_charged_on_what_is_received_rounded_up():
    _, sim = simulator()
    buy = sim.on_command(order(lots=17), SECOND)[1].fill
    assert (buy.fee_asset, buy.fee_raw) == ("ETH", 68)  # 170,000 units at 4 bps
    sell = sim.on_command(order(Side.SELL, 299_990, 17, order_id="p"), SECOND)[1].fill
    assert (sell.fee_asset, sell.fee_raw) == ("USDC", 203_994)  # 5.09983 USDC at 4 bps, 203,993.2 up


def test_what_was_taken_is_not_there_again_until_the_level_changes():
    _, sim = simulator()
    sim.on_command(order(lots=10_000), SECOND)
    sim.on_market(book(2 * SECOND))
    assert fills(sim.on_command(order(order_id="again"), 2 * SECOND)) == []
    sim.on_market(book(3 * SECOND, asks=((300_010, 9_000), (300_020, 20_000))))
    assert fills(sim.on_command(order(order_id="later"), 3 * SECOND)) == [(300_010, 100, False)]


def test_levels_beyond_the_last_one_shown_are_not_forgotten():
    _, sim = simulator()
    sim.on_command(maker(ticks=299_980), SECOND)
    sim.on_market(book(2 * SECOND, bids=((299_990, 10_000),)))
    assert fills(sim.on_market(trade(299_980, 19_000))) == [], "twenty thousand stand ahead of it, shown or not"


def test_latency_answers_when_its_time_has_come():
    k = kernel()
    k.step(book())
    sim = Simulator(k.markets, {"sandbox": {"latency": {"place": (5, 5)}}})
    assert sim.on_command(order(lots=100), SECOND) == []
    assert sim.on_market(timer(SECOND + 9)) == []
    told = sim.on_market(timer(SECOND + 10))
    assert fills(told) == [(300_010, 100, False)]
    assert told[1].fill.venue_time_ns == SECOND + 5


def test_small_orders_are_rejected_as_the_venue_would():
    _, sim = simulator()
    told = sim.on_command(order(lots=16), SECOND)
    assert [(r.state, r.reason) for r in told] == [(OrderState.REJECTED, "notional min")]


def test_cancels_and_questions_find_what_is_there():
    _, sim = simulator()
    sim.on_command(maker(), SECOND)
    about = {"client_order_id": "o", "instrument": ETHUSDC.id}
    assert states(sim.on_command(e.AskOrder(**about), SECOND)) == [OrderState.ACCEPTED]
    assert states(sim.on_command(e.CancelOrder(**about), SECOND)) == [OrderState.CANCELED]
    assert sim.on_command(e.CancelOrder(**about), SECOND) == []
    assert states(sim.on_command(e.AskOrder(**about), SECOND)) == [OrderState.CANCELED]
    told = sim.on_command(e.AskOrder(client_order_id="other", instrument=ETHUSDC.id), SECOND)
    assert [(r.state, r.reason) for r in told] == [(OrderState.REJECTED, "unknown to the venue")]
    sim.on_command(order(ticks=299_990, tif=TimeInForce.GTC, order_id="n"), SECOND)
    told = sim.on_command(e.CancelAllOrders(venue="sandbox", reason="t"), SECOND)
    assert states(told) == [OrderState.CANCELED]


def test_backtest_ignores_recorded_orders_and_repeats_exactly():
    def run():
        script = Script()
        script.then = [lambda c: c.take(ETHUSDC.id, Side.BUY, 300_010, 100), lambda c: None] * 5
        k = kernel(script)
        recorded = []
        for i in range(10):
            recorded += [book(SECOND * (i + 1)), timer(SECOND * (i + 1))]
        recorded.append(e.OperatorSpoke(time_ns=20 * SECOND, command="kill"))
        given = list(backtest(k, recorded))
        digest = CommandDigest()
        digest.add(x for x in given if isinstance(x, e.FillReported))  # type: ignore[arg-type]
        return k, given, digest.hex

    k, given, first = run()
    assert len(fills(given)) == 5
    assert not k.halted
    assert all(not o.state.is_open for o in k.orders.orders.values())
    assert run()[2] == first


def test_a_trade_is_given_to_our_orders_once_and_the_better_price_first():
    _, sim = simulator()
    sim.on_command(maker(ticks=299_980), SECOND)
    sim.on_command(e.PlaceOrder(**{**as_dict(maker(ticks=299_985)), "client_order_id": "better"}), SECOND)
    told = sim.on_market(trade(299_970, 150))
    assert [(f.fill.client_order_id, f.fill.qty_lots) for f in told] == [("better", 100), ("o", 50)]


def test_quotes_through_our_orders_are_given_to_them_once():
    _, sim = simulator()
    sim.on_command(maker(ticks=299_980), SECOND)
    sim.on_command(e.PlaceOrder(**{**as_dict(maker(ticks=299_985)), "client_order_id": "better"}), SECOND)
    told = sim.on_market(book(bids=((299_900, 1),), asks=((299_970, 120), (299_982, 30))))
    assert [(f.fill.client_order_id, f.fill.qty_lots) for f in told] == [("better", 100), ("o", 20)]


def as_dict(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Side)), st.integers(299_900, 300_100), st.integers(1, 500)),
        min_size=1, max_size=8,
    ),
    st.lists(st.tuples(st.integers(299_880, 300_120), st.integers(1, 400), st.booleans()), max_size=20),
)  # fmt: skip
def test_no_order_trades_beyond_its_size_or_limit_and_no_trade_is_given_twice(placed, trades):
    _, sim = simulator()
    orders = [
        e.PlaceOrder(**{**as_dict(maker(side, ticks, lots)), "client_order_id": str(i)})
        for i, (side, ticks, lots) in enumerate(placed)
    ]
    for one in orders:
        sim.on_command(one, SECOND)
    filled = dict.fromkeys((o.client_order_id for o in orders), 0)
    for ticks, lots, is_buyer_maker in trades:
        told = [f.fill for f in sim.on_market(trade(ticks, lots, is_buyer_maker=is_buyer_maker))]
        assert sum(f.qty_lots for f in told) <= lots
        for f in told:
            filled[f.client_order_id] += f.qty_lots
            assert f.side is (Side.BUY if is_buyer_maker else Side.SELL)
            assert f.price_ticks == orders[int(f.client_order_id)].price_ticks
    assert all(filled[o.client_order_id] <= o.qty_lots for o in orders)
