"""The kernel's rules: the gate before everything, fills booked once, halts that hold, replays that agree."""

from __future__ import annotations

import msgspec
import pytest

from domain import OrderState, Side
from domain import events as e
from engine.replay import CommandDigest, replay
from tests.engine.markets import (
    ETH,
    ETHUSDC,
    SECOND,
    USDC,
    V3,
    Script,
    book,
    fill,
    kernel,
    pool_kernel,
    report,
    timer,
)
from tests.reference.python_kernel import StrategiesHalted, TradesPredateRun


def place(side: Side = Side.BUY, ticks: int = 300_010, lots: int = 100):
    return lambda context: context.take(ETHUSDC.id, side, ticks, lots)


def started(script: Script, **limits):
    k = kernel(script, **limits)
    k.step(e.BalanceReported(time_ns=0, asset=ETH.id, raw=str(10 * ETH.unit)))
    k.step(e.BalanceReported(time_ns=0, asset=USDC.id, raw=str(10_000 * USDC.unit)))
    k.step(book())
    return k


def rejections(commands):
    return [c.rule for c in commands if isinstance(c, e.RiskRejected)]


def orders(commands):
    return [c for c in commands if isinstance(c, e.PlaceOrder)]


def run(k, script, action, now_ns=SECOND):
    script.then.append(action)
    return k.step(timer(now_ns))


def test_order_within_limits_is_commanded_with_an_id_of_the_run():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    assert order.client_order_id == "t-0-s-1"
    assert order.qty_lots == 100


def test_each_limit_refuses_under_its_own_name():
    cases = {
        "order_notional": ({"order_notional_max": 20}, place()),
        "price_collar": ({"price_collar_bps": 10}, place(ticks=301_000)),
        "position": ({"position_notional_max": 20}, place()),
        "exposure": ({"exposure_notional_max": 20}, place()),
        "blacklist": ({"blacklist": (ETHUSDC.id,)}, place()),
        "order_size": ({}, place(lots=1)),
    }
    for rule, (limits, action) in cases.items():
        script = Script()
        commands = run(started(script, **limits), script, action)
        assert rejections(commands) == [rule]
        assert not orders(commands)


def test_open_orders_and_message_rate_are_limited():
    script = Script()
    k = started(script, open_orders_max=1)
    run(k, script, place())
    assert rejections(run(k, script, place())) == ["open_orders"]

    script = Script()
    k = started(script, messages_per_second_max=2)
    outcomes = [rejections(run(k, script, place())) for _ in range(3)]
    assert outcomes == [[], [], ["throttle"]]
    assert rejections(run(k, script, place(), SECOND + SECOND // 2)) == []


def test_old_or_invalid_book_refuses():
    script = Script()
    k = started(script, book_age_ms_max=500)
    assert rejections(run(k, script, place(), 2 * SECOND)) == ["stale_book"]
    k.step(book(2 * SECOND))
    k.step(e.BookInvalidated(time_ns=2 * SECOND, instrument=ETHUSDC.id, reason="gap"))
    assert rejections(run(k, script, place(), 2 * SECOND)) == ["stale_book"]


def test_reducing_a_position_passes_the_position_limit():
    script = Script()
    k = started(script, position_notional_max=40)
    (bought,) = orders(run(k, script, place()))
    k.step(fill(bought.client_order_id, 100))
    assert rejections(run(k, script, place())) == ["position"]
    assert orders(run(k, script, place(Side.SELL, 299_990)))


def test_fill_is_booked_once_whatever_the_order_of_reports():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    k.step(fill(order.client_order_id, 40, trade_id="1", fee_raw=7))
    k.step(report(order.client_order_id, OrderState.ACCEPTED))
    k.step(fill(order.client_order_id, 40, trade_id="1", fee_raw=7))
    k.step(fill(order.client_order_id, 60, trade_id="2"))
    k.step(report(order.client_order_id, OrderState.EXPIRED))
    assert k.orders.orders[order.client_order_id].state is OrderState.FILLED
    assert k.portfolio.balances[ETH.id] == 10 * ETH.unit + 100 * ETH.unit // 10_000
    spent = int(ETHUSDC.notional(300_010, 100) * USDC.unit)
    assert k.portfolio.balances[USDC.id] == 10_000 * USDC.unit - spent - 7


def test_an_end_reported_before_its_trades_waits_for_them():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    k.step(report(order.client_order_id, OrderState.EXPIRED, filled_lots=40))
    assert k.orders.orders[order.client_order_id].state.is_open
    k.step(fill(order.client_order_id, 40))
    assert k.orders.orders[order.client_order_id].state is OrderState.EXPIRED


def test_unanswered_order_is_asked_about_and_never_sent_again():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    assert not k.step(timer(2 * SECOND))
    commands = k.step(timer(5 * SECOND))
    assert commands == [e.AskOrder(client_order_id=order.client_order_id, instrument=ETHUSDC.id)]
    k.step(report(order.client_order_id, OrderState.UNKNOWN, 5 * SECOND))
    assert not orders(k.step(timer(9 * SECOND)))


def test_kill_cancels_everything_and_strategies_stay_stopped():
    script = Script()
    k = started(script)
    run(k, script, place())
    commands = k.step(e.OperatorSpoke(time_ns=SECOND, command="kill", reason="test"))
    assert [type(c) for c in commands] == [e.CancelAllOrders, StrategiesHalted]
    assert run(k, script, place()) == []
    assert k.step(e.OperatorSpoke(time_ns=SECOND, command="kill")) == []


def test_drawdown_halts_the_run():
    script = Script()
    k = started(script, drawdown_max=5)
    (order,) = orders(run(k, script, place(lots=1_000)))
    k.step(fill(order.client_order_id, 1_000))
    commands = k.step(book(2 * SECOND, bids=((290_000, 10),), asks=((290_010, 10),)))
    assert rejections(commands) == ["drawdown"]
    assert isinstance(commands[-1], StrategiesHalted)
    assert k.halted.startswith("drawdown")


def test_only_an_operator_ends_a_halt():
    script = Script()
    k = started(script, drawdown_max=5)
    (order,) = orders(run(k, script, place(lots=1_000)))
    k.step(fill(order.client_order_id, 1_000))
    k.step(book(2 * SECOND, bids=((290_000, 10_000),), asks=((290_010, 10_000),)))
    k.step(e.EngineRestarted(time_ns=2 * SECOND, epoch=1))
    assert k.halted
    k.step(book(2 * SECOND, bids=((290_000, 10_000),), asks=((290_010, 10_000),)))
    k.step(e.OperatorSpoke(time_ns=2 * SECOND, command="resume"))
    assert not k.halted
    # The fall that was accepted does not halt it again; a further one does.
    k.step(book(2 * SECOND, bids=((290_000, 10_000),), asks=((290_010, 10_000),)))
    assert not k.halted
    assert orders(run(k, script, place(Side.SELL, 289_990), 2 * SECOND))
    k.step(book(2 * SECOND, bids=((220_000, 10_000),), asks=((220_010, 10_000),)))
    assert k.halted.startswith("drawdown")


def test_largest_order_by_asset():
    script = Script()
    k = started(script, order_qty_max={"ETH": "0.01"})
    assert orders(run(k, script, place(lots=100)))
    assert rejections(run(k, script, place(lots=101))) == ["order_size"]


def test_foreign_trade_is_booked_apart_and_once():
    k = started(Script())
    k.step(fill("someone-else", 10, trade_id="77"))
    k.step(fill("someone-else", 10, trade_id="77"))
    assert k.portfolio.balances[ETH.id] == 10 * ETH.unit + 10 * ETH.unit // 10_000
    assert k.portfolio.strategies() == ("unattributed",)


def test_trade_from_before_the_run_is_never_booked():
    k = started(Script())
    k.step(TradesPredateRun(time_ns=1, venue="sandbox", trades=(("ETHUSDC", "77"),)))
    k.step(fill("someone-else", 10, trade_id="77"))
    assert k.portfolio.balances[ETH.id] == 10 * ETH.unit


def test_restart_asks_about_open_orders_and_raises_the_epoch():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    commands = k.step(e.EngineRestarted(time_ns=SECOND, epoch=3))
    assert commands == [e.AskOrder(client_order_id=order.client_order_id, instrument=ETHUSDC.id)]
    assert rejections(run(k, script, place())) == ["stale_book"]
    k.step(book())
    (again,) = orders(run(k, script, place()))
    assert again.client_order_id == "t-3-s-2"


def test_same_events_give_the_same_commands():
    def events():
        yield e.BalanceReported(time_ns=0, asset=USDC.id, raw=str(10_000 * USDC.unit))
        for i in range(200):
            yield book(i * SECOND // 10 + 1, bids=((299_990 - i, 10_000),), asks=((300_010 + i, 10_000),))
            yield timer(i * SECOND // 10 + 1)

    def fresh():
        script = Script()
        script.then = [place(ticks=300_000 + 10 * i) for i in range(200)]
        return kernel(script)

    digests = {replay(fresh(), events()).hex for _ in range(5)}
    assert len(digests) == 1
    assert digests != {CommandDigest().hex}


def test_replay_of_a_run_that_was_stopped_and_restarted_decides_as_the_run_did():
    def events():
        yield book()
        yield e.OperatorSpoke(time_ns=SECOND, command="stop")
        yield e.EngineRestarted(time_ns=SECOND, epoch=1)
        yield book()
        yield timer()

    script = Script()
    script.then.append(lambda context: seen.append(context.stopping))
    seen = []
    replay(kernel(script), events())
    assert seen == [False]


def test_restart_distrusts_every_pool():
    k = pool_kernel(Script())
    assert k.markets.pools[V3].replica.is_valid
    k.step(e.EngineRestarted(time_ns=SECOND, epoch=1))
    assert not k.markets.pools[V3].replica.is_valid


def test_fee_in_a_coin_nobody_configured_is_counted_and_stops_nothing():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, place()))
    told = fill(order.client_order_id, 100, fee_raw=5)
    k.step(e.FillReported(time_ns=SECOND, fill=msgspec.structs.replace(told.fill, fee_asset="BNB")))
    assert k.portfolio.balances["sandbox/BNB"] == -5
    assert k.portfolio.balances[ETH.id] == 10 * ETH.unit + 100 * ETH.unit // 10_000
    # Bought 0.01 ETH ten cents above the mid; the fee's coin has no price here.
    assert k.result() == pytest.approx(-0.001)
    assert k.portfolio.result_by_place(k.marks, "s") == {"sandbox": pytest.approx(-0.001)}


def test_position_without_a_mark_does_not_look_like_a_loss():
    k = kernel(Script(), drawdown_max=5)
    k.step(fill("someone-else", 1_000))
    k.step(book(bids=(), asks=()))
    assert not k.halted
    k.step(book())
    assert not k.halted
    k.step(book(bids=((200_000, 1),), asks=((200_010, 1),)))
    assert k.halted.startswith("drawdown")


def test_cancel_that_did_not_end_its_order_is_sent_again():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, lambda c: c.quote(ETHUSDC.id, Side.BUY, 299_990, 100)))
    order_id = order.client_order_id
    k.step(report(order_id, OrderState.ACCEPTED))
    cancel = e.CancelOrder(client_order_id=order_id, instrument=ETHUSDC.id)
    assert run(k, script, lambda c: c.cancel(order_id), 2 * SECOND) == [cancel]
    assert run(k, script, lambda c: c.cancel(order_id), 3 * SECOND) == []
    assert k.step(timer(4 * SECOND)) == [cancel]
    k.step(report(order_id, OrderState.CANCELED, 5 * SECOND))
    assert k.step(timer(9 * SECOND)) == []


def test_order_that_came_to_rest_after_the_kill_is_cancelled():
    script = Script()
    k = started(script)
    (order,) = orders(run(k, script, lambda c: c.quote(ETHUSDC.id, Side.BUY, 299_990, 100)))
    k.step(e.OperatorSpoke(time_ns=SECOND, command="kill"))
    k.step(report(order.client_order_id, OrderState.UNKNOWN, 2 * SECOND))
    k.step(report(order.client_order_id, OrderState.ACCEPTED, 3 * SECOND))
    assert k.step(timer(4 * SECOND)) == [e.CancelOrder(client_order_id=order.client_order_id, instrument=ETHUSDC.id)]


def test_halt_in_a_step_silences_every_strategy_of_that_step():
    first, second = Script("a"), Script("b")
    k = kernel(first, second, drawdown_max=5)
    k.step(book())
    first.then.append(lambda c: k.halt("by the first"))
    second.then.append(lambda c: c.take(ETHUSDC.id, Side.BUY, 300_010, 100))
    assert [type(c) for c in k.step(timer())] == [e.CancelAllOrders, StrategiesHalted]
