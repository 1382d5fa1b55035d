"""The native kernel as the shell steps it: strategies beside it, pools, swaps, timers, venues' whole answers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import InputError, InvariantError, OrderState
from domain import events as e
from engine.sdk import Strategy
from tests.engine.markets import (
    ETH,
    ETHUSDC,
    NATIVE,
    SECOND,
    TOKEN_USDC,
    USDC,
    V2,
    V3,
    WETH,
    block,
    book,
    fill,
    kernel_opening,
    native_kernel,
    order_id,
    report,
    timer,
)

LOOSE = {"order_notional_max": 10**6, "swap_notional_max": 10**6, "position_notional_max": 10**6,
         "exposure_notional_max": 10**7, "book_age_ms_max": 10**9}  # fmt: skip


class Script(Strategy):
    """Does what is next at each regular timer, and remembers what it was told."""

    def __init__(self, strategy_id="s"):
        super().__init__(strategy_id)
        self.todo, self.told = [], []

    def on_timer(self, ctx, event):
        self.told.append(("timer", event.aux0))
        if event.aux0 == 0 and self.todo:
            self.todo.pop(0)(ctx)

    def on_fill(self, ctx, event):
        self.told.append(("fill", event.client_id, event.size, ctx.position(0)))

    def on_settled(self, ctx, event):
        self.told.append(("settled", event.price, event.sequence))

    def on_order(self, ctx, event):
        self.told.append(("order", event.client_id))


def run(kernel, script, action, now_ns=SECOND):
    script.todo.append(action)
    return kernel.step(timer(now_ns))


def held(kernel, asset):
    """What the native kernel holds of an asset."""
    return kernel.native.balance(kernel.numbers.asset_at[asset.id])


def opened(*pools, **limits):
    script = Script()
    kernel = native_kernel(script, pools=pools, **{**LOOSE, **limits})
    for event in kernel_opening(pools):
        kernel.step(event)
    kernel.step(book())
    return kernel, script


def test_a_trade_reaches_kernel_view_and_strategy_once():
    kernel, script = opened()
    (placed,) = run(kernel, script, lambda c: c.take(0, 0, 300_010, 100))
    assert placed.client_order_id == order_id(0, 1)
    for _ in range(2):
        kernel.step(fill(placed.client_order_id, 100, fee_raw=7))
    number = int(placed.client_order_id[1:], 16)
    assert script.told == [("timer", 0), ("fill", number, 100, 100)]
    assert held(kernel, ETH) == kernel.portfolio.balances[ETH.id]
    assert held(kernel, USDC) == kernel.portfolio.balances[USDC.id]
    assert kernel.trades_booked == 1
    assert kernel.orders.orders[placed.client_order_id].state is OrderState.FILLED
    assert kernel.is_idle


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 500), st.integers(-50, 50)), min_size=1, max_size=12))
def test_holdings_of_kernel_and_view_never_differ(trades):
    kernel, script = opened()
    for number, (is_buy, lots, fee) in enumerate(trades):
        side, limit = (0, 300_010) if is_buy else (1, 299_990)
        commands = run(kernel, script, lambda c, s=side, p=limit, n=lots: c.take(0, s, p, n))
        if isinstance(commands[0], e.PlaceOrder):
            order = commands[0]
            kernel.step(fill(order.client_order_id, lots, trade_id=str(number), side=order.side, fee_raw=fee))
    for at, asset in enumerate(kernel.numbers.assets):
        assert kernel.native.balance(at) == kernel.portfolio.balances.get(asset.id, 0)
    assert kernel.native.result() / 10**8 == pytest.approx(kernel.result(), abs=1e-6)
    assert kernel.native.result(0) / 10**8 == pytest.approx(kernel.result("s"), abs=1e-6)


@pytest.mark.parametrize("pool", [V2, V3])
def test_a_swap_is_asked_for_settled_and_booked_once(pool):
    kernel, script = opened(V2, V3)
    (asked,) = run(kernel, script, lambda c: c.swap(pool, WETH.id, 10**18, 2_900 * 10**6, 9))
    assert (asked.pool, asked.token_in, asked.token_out) == (pool, WETH.id, TOKEN_USDC.id)
    assert (asked.amount_in, asked.min_amount_out, asked.deadline_s) == (str(10**18), str(2_900 * 10**6), 9)
    assert not kernel.is_idle
    assert list(kernel.swaps) == [asked.intent_id]
    mined = e.SwapSettled(
        time_ns=SECOND, intent_id=asked.intent_id, status="mined", amount_in=str(10**18),
        amount_out=str(2_990 * 10**6), gas_cost_wei="21000", tx_hash="0x" + "ab" * 32, block_number=77,
    )  # fmt: skip
    for _ in range(2):
        kernel.step(mined)
    assert script.told[-1] == ("settled", 1, 77)
    assert [t for t in script.told if t[0] == "settled"] == [("settled", 1, 77)]
    assert kernel.is_idle
    for asset in (WETH, TOKEN_USDC, NATIVE):
        assert held(kernel, asset) == kernel.portfolio.balances[asset.id]
    assert kernel.portfolio.balances[NATIVE.id] == 10 * NATIVE.unit - 21_000


def test_a_swap_too_large_is_refused_by_name_and_asked_of_nobody():
    kernel, script = opened(V3, swap_notional_max=100)
    (refused,) = run(kernel, script, lambda c: c.swap(V3, WETH.id, 10**18, 1, 9))
    assert (refused.rule, refused.strategy) == ("swap_notional", "s")
    assert not kernel.swaps


def test_a_strategy_wakes_when_it_asked_to():
    kernel, script = opened()
    (wake,) = run(kernel, script, lambda c: c.timer(5 * SECOND, 3))
    assert wake == e.WakeStrategy(strategy=0, at_ns=5 * SECOND, tag=3)
    kernel.step(e.TimerFired(time_ns=5 * SECOND, tag=3, strategy=0))
    kernel.step(e.TimerFired(time_ns=6 * SECOND, tag=3, strategy=0))  # Nobody asked for this one.
    assert script.told[-1] == ("timer", 3)
    assert script.told.count(("timer", 3)) == 1


def test_after_a_restart_orders_are_asked_about_and_swaps_asked_for_again():
    kernel, script = opened(V3)
    (placed,) = run(kernel, script, lambda c: c.quote(0, [(299_900, 100)], []))
    (swap,) = run(kernel, script, lambda c: c.swap(V3, WETH.id, 10**17, 1, 9))
    again = kernel.step(e.EngineRestarted(time_ns=2 * SECOND, epoch=1))
    assert again == [e.AskOrder(client_order_id=placed.client_order_id, instrument=ETHUSDC.id), swap]
    assert not kernel.markets.pools[V3].replica.is_valid
    kernel.step(book())
    (later,) = run(kernel, script, lambda c: c.take(0, 0, 300_010, 50), 2 * SECOND)
    assert later.client_order_id == order_id(1, 3)


def test_what_a_venues_whole_answer_lacks_is_over_and_what_it_holds_more_is_named():
    kernel, script = opened()
    (placed,) = run(kernel, script, lambda c: c.quote(0, [(299_900, 100)], []))
    kernel.step(report(placed.client_order_id, OrderState.ACCEPTED))
    late = 10 * SECOND
    kernel.step(e.AccountAnswered(time_ns=late, venue="sandbox", asked_ns=late))
    kernel.step(e.BalanceReported(time_ns=late, asset=USDC.id, raw="1"))
    found = kernel.step(e.AccountAnswered(time_ns=late, venue="sandbox", is_end=True))
    assert [c.finding for c in found] == ["balance"]
    assert kernel.orders.orders[placed.client_order_id].state is OrderState.CANCELED
    assert kernel.is_idle


def test_trades_of_the_first_answer_predate_the_run():
    kernel = native_kernel(Script(), **LOOSE)
    earlier = msgspec.structs.replace(fill("by-hand", 100, trade_id="9"), asked=True)
    for event in (
        e.AccountAnswered(time_ns=SECOND, venue="sandbox", asked_ns=SECOND),
        earlier,
        e.BalanceReported(time_ns=SECOND, asset=ETH.id, raw="5"),
        e.AccountAnswered(time_ns=SECOND, venue="sandbox", is_end=True),
        earlier,
        fill("by-hand", 100, trade_id="10"),
    ):
        kernel.step(event)
    assert kernel.trades_booked == 1
    assert held(kernel, ETH) == kernel.portfolio.balances[ETH.id] == 5 + 100 * ETH.unit // 10_000


def test_a_kill_cancels_everything_until_an_operator_resumes():
    kernel, script = opened()
    run(kernel, script, lambda c: c.quote(0, [(299_900, 100)], []))
    killed = kernel.step(e.OperatorSpoke(time_ns=SECOND, command="kill", reason="drill"))
    assert e.CancelAllOrders in [type(c) for c in killed]
    assert (kernel.halted, kernel.stage) == ("killed: drill", "cancel")
    assert [c.rule for c in run(kernel, script, lambda c: c.take(0, 0, 300_010, 100))] == ["stage"]
    kernel.step(report(order_id(0, 1), OrderState.CANCELED))
    kernel.step(e.OperatorSpoke(time_ns=SECOND, command="resume"))
    assert kernel.halted == ""
    assert isinstance(run(kernel, script, lambda c: c.take(0, 0, 300_010, 100))[0], e.PlaceOrder)


def test_what_contradicts_the_books_stops_the_run():
    kernel, script = opened()
    (placed,) = run(kernel, script, lambda c: c.take(0, 0, 300_010, 100))
    with pytest.raises(InvariantError, match="exceeds"):
        kernel.step(fill(placed.client_order_id, 101))


def test_a_strategy_may_not_swap_what_a_pool_does_not_hold():
    kernel, script = opened(V3)
    with pytest.raises(InputError, match="none of pool"):
        run(kernel, script, lambda c: c.swap(V3, USDC.id, 1, 1, 9))


def test_the_same_events_give_the_same_digest():
    def digest():
        kernel, script = opened(V3)
        for number in range(20):
            run(kernel, script, lambda c, n=number: c.quote(0, [(299_900 - n, 100)], [(300_100 + n, 50)]))
            kernel.step(block(number + 2))
        return kernel.digest

    assert len({digest() for _ in range(5)}) == 1


class Spaced(Strategy):
    """Counts the books it is told."""

    book_interval_ns = SECOND

    def __init__(self):
        super().__init__("spaced")
        self.told = []

    def on_book(self, ctx, book):
        self.told.append((ctx.now_ns, book.is_valid))


def test_a_book_interval_lets_the_first_of_each_through_and_every_loss():
    strategy = Spaced()
    kernel = native_kernel(strategy, **LOOSE)
    for event in kernel_opening(()):
        kernel.step(event)
    strategy.told.clear()
    start = 100 * SECOND
    for after in (0, 1, SECOND - 1, SECOND, SECOND + 5):
        kernel.step(book(start + after))
    kernel.step(e.BookInvalidated(time_ns=start + SECOND + 6, instrument=ETHUSDC.id, reason="gap"))
    kernel.step(book(start + SECOND + 7))
    kernel.step(book(start + 2 * SECOND))
    assert strategy.told == [
        (start, True),
        (start + SECOND, True),
        (start + SECOND + 6, False),
        (start + 2 * SECOND, True),
    ]
