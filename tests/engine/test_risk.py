"""The gate counts what is under way: orders, swaps, and the other strategies'."""

from __future__ import annotations

from domain import OrderState, Side
from domain import events as e
from tests.engine.markets import (
    ETHUSDC,
    SECOND,
    TOKEN_USDC,
    V3,
    WETH,
    Script,
    book,
    pool_kernel,
    report,
    settled,
    timer,
)


class Two:
    """Two strategies in one kernel, told what to do by hand."""

    def __init__(self, **limits):
        self.a, self.b = Script("a"), Script("b")
        self.kernel = pool_kernel(self.a, self.b, messages_per_second_max=1_000, **limits)
        self.kernel.step(book())

    def does(self, who, action):
        """Let one act; give the rule that refused, or the command."""
        who.then.append(action)
        commands = self.kernel.step(timer())
        assert len(commands) == 1
        return commands[0].rule if isinstance(commands[0], e.RiskRejected) else commands[0]


def quote(side=Side.BUY, ticks=299_900, lots=10_000):
    return lambda c: c.quote(ETHUSDC.id, side, ticks, lots)


def take(side=Side.BUY, ticks=300_020, lots=10_000):
    return lambda c: c.take(ETHUSDC.id, side, ticks, lots)


def swap(token_in, amount_in, min_out):
    return lambda c: c.swap(V3, token_in.id, amount_in, min_out, 10**9)


BUY_ONE = swap(TOKEN_USDC, 3_010 * TOKEN_USDC.unit, WETH.unit)
SELL_ONE = swap(WETH, WETH.unit, 2_990 * TOKEN_USDC.unit)


def test_open_orders_count_towards_the_position():
    two = Two(position_notional_max=4_000)
    assert isinstance(two.does(two.a, quote()), e.PlaceOrder)
    assert two.does(two.a, quote()) == "position"
    assert isinstance(two.does(two.b, quote()), e.PlaceOrder)


def test_unsettled_swaps_count_towards_the_position():
    two = Two(position_notional_max=4_000)
    sent = two.does(two.a, BUY_ONE)
    assert two.does(two.a, BUY_ONE) == "position"
    assert two.does(two.a, take()) == "position"
    two.kernel.step(settled(sent.intent_id, "failed"))
    assert isinstance(two.does(two.a, take()), e.PlaceOrder)


def test_open_orders_count_towards_a_swaps_position():
    two = Two(position_notional_max=4_000)
    two.does(two.a, quote())
    assert two.does(two.a, BUY_ONE) == "position"
    assert isinstance(two.does(two.a, SELL_ONE), e.SubmitSwap)


def test_what_other_strategies_have_under_way_counts_towards_the_exposure():
    two = Two(exposure_notional_max=4_000)
    order = two.does(two.a, quote())
    assert two.does(two.b, quote()) == "exposure"
    assert two.does(two.b, BUY_ONE) == "exposure"
    two.kernel.step(report(order.client_order_id, OrderState.CANCELED))
    assert isinstance(two.does(two.b, BUY_ONE), e.SubmitSwap)


def test_no_order_trades_with_our_own():
    two = Two()
    resting = two.does(two.a, quote(Side.SELL, 300_020))
    assert two.does(two.b, take(Side.BUY, 300_020, 100)) == "self_trade"
    assert two.does(two.b, quote(Side.BUY, 300_030, 100)) == "self_trade"
    assert isinstance(two.does(two.b, take(Side.BUY, 300_019, 100)), e.PlaceOrder)
    # Once it is on its way out it is in nobody's way.
    two.does(two.a, lambda c: c.cancel(resting.client_order_id))
    assert isinstance(two.does(two.b, take(Side.BUY, 300_020, 100)), e.PlaceOrder)


def test_swap_rules_refuse_under_their_own_names():
    cases = {
        "swap_notional": ({"swap_notional_max": 100}, SELL_ONE),
        "position": ({"position_notional_max": 100}, SELL_ONE),
        "exposure": ({"exposure_notional_max": 100}, SELL_ONE),
    }
    for rule, (limits, action) in cases.items():
        two = Two(**limits)
        assert two.does(two.a, action) == rule
    for listed in (V3, WETH.id, TOKEN_USDC.id):
        two = Two(blacklist=(listed,))
        assert two.does(two.a, SELL_ONE) == "blacklist"


def test_swap_without_a_mark_is_refused():
    two = Two()
    two.kernel.marks["ETH"] = 0.0
    assert two.does(two.a, SELL_ONE) == "no_mark"


def test_rejected_swap_leaves_no_trace():
    two = Two(swap_notional_max=100)
    two.does(two.a, SELL_ONE)
    assert two.kernel.swaps == {}
    assert two.kernel.is_idle
    assert two.kernel.now_ns == SECOND
