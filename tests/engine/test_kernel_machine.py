"""The kernel under random lives: books, orders, swaps, reports in any order, duplicates, kills and restarts.

Whatever comes, the books follow the trades exactly, no id is given twice, the limits hold, and a fresh kernel that is
told the same events stands in the same state and gave the same commands.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain import OrderState, Side
from domain import events as e
from engine.replay import CommandDigest, replay
from engine.strategies.avellaneda_stoikov import AvellanedaStoikov, AvellanedaStoikovSettings
from tests.engine.markets import (
    ETH,
    ETHUSDC,
    NATIVE,
    SECOND,
    TOKEN_USDC,
    USDC,
    V3,
    WETH,
    Script,
    book,
    fill,
    kernel_opening,
    pool_kernel,
    report,
    settled,
    timer,
    v3_at,
)
from tests.reference.python_kernel import StrategiesHalted
from tests.reference.sdk_adapter import Adapter

LIMITS = {"open_orders_max": 6, "position_notional_max": 20_000, "exposure_notional_max": 30_000, "drawdown_max": 2_000}


def market_maker():
    settings = AvellanedaStoikovSettings(
        instrument=ETHUSDC.id,
        hedge_pools=(V3,),
        order_qty="0.5",
        inventory_max="2",
        hedge_above="0.7",
        hedge_cost_max_bps="500",
    )
    return Adapter(AvellanedaStoikov(settings), (ETHUSDC,))


class KernelMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.script = Script("s")
        self.actions = []
        self.kernel = pool_kernel(self.script, market_maker(), pools=(V3,), book_age_ms_max=60_000, **LIMITS)
        self.events = list(kernel_opening((V3,)))
        self.digest = CommandDigest()
        self.now_ns = SECOND
        self.commands: list[e.Command] = []
        self.executed: dict[str, int] = {}
        self.trades: list[e.FillReported] = []
        self.outcomes: list[e.SwapSettled] = []
        self.changes = dict.fromkeys((a.id for a in (ETH, USDC, WETH, TOKEN_USDC, NATIVE)), 0)
        self.epoch = 0

    def tell(self, event):
        self.events.append(event)
        commands = self.kernel.step(event)
        self.digest.add(commands)
        self.commands += commands
        return commands

    def orders(self):
        return [c for c in self.commands if isinstance(c, e.PlaceOrder)]

    def pick(self, things, index):
        return things[index % len(things)]

    # --- the market

    @rule(mid=st.integers(290_000, 310_000), half=st.integers(1, 200), passes=st.integers(0, 5 * SECOND))
    def shows_a_book(self, mid, half, passes):
        self.now_ns += passes
        self.tell(book(self.now_ns, ((mid - half, 5_000),), ((mid + half, 5_000),)))

    @rule(is_empty=st.booleans())
    def loses_the_book(self, is_empty):
        if is_empty:
            self.tell(book(self.now_ns, (), ()))
        else:
            self.tell(e.BookInvalidated(time_ns=self.now_ns, instrument=ETHUSDC.id, reason="gap"))

    @rule(price=st.integers(2_900, 3_100), number=st.integers(1, 50))
    def moves_the_pool(self, price, number):
        self.tell(v3_at(price, block_number=number, now_ns=self.now_ns))

    @rule(passes=st.integers(0, 4 * SECOND))
    def lets_time_pass(self, passes):
        self.now_ns += passes
        self.wants(lambda c: None)

    # --- a strategy's wishes

    @rule(
        side=st.sampled_from(list(Side)), ticks=st.integers(289_000, 311_000), lots=st.integers(-5, 20_000),
        take=st.booleans(),
    )  # fmt: skip
    def wants_an_order(self, side, ticks, lots, take):
        if take:
            self.wants(lambda c: c.take(ETHUSDC.id, side, ticks, lots))
        else:
            self.wants(lambda c: c.quote(ETHUSDC.id, side, ticks, lots))

    @rule(is_buy=st.booleans(), milli=st.integers(1, 5_000))
    def wants_a_swap(self, is_buy, milli):
        weth, usdc = milli * WETH.unit // 1_000, milli * 3 * TOKEN_USDC.unit
        if is_buy:
            self.wants(lambda c: c.swap(V3, TOKEN_USDC.id, usdc, weth, 10**9))
        else:
            self.wants(lambda c: c.swap(V3, WETH.id, weth, usdc, 10**9))

    @rule()
    def wants_out(self):
        self.wants(lambda c: [c.cancel(o.client_order_id) for o in c.open_orders(ETHUSDC.id)])

    def wants(self, action):
        """Let the script act on a timer; every timer has its action, so that a replay acts on the same ones."""
        self.actions.append(action)
        self.script.then.append(action)
        self.tell(timer(self.now_ns))

    # --- the venue's words, in any order

    @precondition(lambda self: self.orders())
    @rule(index=st.integers(0, 99), state=st.sampled_from([s for s in OrderState if s is not OrderState.DENIED]),
          knows=st.booleans())  # fmt: skip
    def venue_reports(self, index, state, knows):
        order = self.pick(self.orders(), index)
        filled = self.executed.get(order.client_order_id, 0)
        if state is OrderState.FILLED and filled < order.qty_lots:
            return  # A venue does not say filled of what is not.
        self.tell(report(order.client_order_id, state, self.now_ns, filled if knows else None))

    @precondition(lambda self: self.orders())
    @rule(index=st.integers(0, 99), lots=st.integers(1, 20_000), fee=st.integers(-50, 500), held_back=st.booleans())
    def venue_trades(self, index, lots, fee, held_back):
        order = self.pick(self.orders(), index)
        done = self.executed.get(order.client_order_id, 0)
        lots = min(lots, order.qty_lots - done)
        if lots <= 0:
            return
        self.executed[order.client_order_id] = done + lots
        trade = fill(
            order.client_order_id, lots, side=order.side, ticks=order.price_ticks, trade_id=f"t{len(self.trades)}",
            fee_raw=fee, now_ns=self.now_ns,
        )  # fmt: skip
        self.trades.append(trade)
        if held_back:  # Its end comes first.
            self.tell(report(order.client_order_id, OrderState.CANCELED, self.now_ns, done + lots))
        self.count(trade.fill)
        self.tell(trade)

    @precondition(lambda self: self.trades)
    @rule(index=st.integers(0, 99))
    def venue_repeats_a_trade(self, index):
        self.tell(self.pick(self.trades, index))

    @rule(lots=st.integers(1, 100), side=st.sampled_from(list(Side)))
    def somebody_trades_by_hand(self, lots, side):
        trade = fill("by-hand", lots, side=side, trade_id=f"t{len(self.trades)}", now_ns=self.now_ns)
        self.trades.append(trade)
        self.count(trade.fill)
        self.tell(trade)

    def count(self, told):
        self.changes[ETH.id] += told.side.sign * told.qty_lots * ETH.unit // 10_000
        self.changes[USDC.id] -= told.side.sign * told.quote_raw + told.fee_raw

    # --- custody's words

    @precondition(lambda self: self.kernel.swaps)
    @rule(index=st.integers(0, 9), status=st.sampled_from(["mined", "failed", "refused"]), gas=st.integers(0, 10**15))
    def swap_settles(self, index, status, gas):
        swap = self.pick(list(self.kernel.swaps.values()), index)
        taken, given = (int(swap.amount_in), int(swap.min_amount_out) + 1) if status == "mined" else (0, 0)
        gas = 0 if status == "refused" else gas
        event = settled(swap.intent_id, status, amount_in=taken, amount_out=given, gas=gas, now_ns=self.now_ns)
        self.outcomes.append(event)
        self.changes[swap.token_in] -= taken
        self.changes[swap.token_out] += given
        self.changes[NATIVE.id] -= gas
        self.tell(event)

    @precondition(lambda self: self.outcomes)
    @rule(index=st.integers(0, 99))
    def swap_settles_again(self, index):
        self.tell(self.pick(self.outcomes, index))

    # --- people and processes

    @rule()
    def process_dies_and_another_replays_the_journal(self):
        self.epoch += 1
        fresh, script = self.rebuilt()
        assert state(fresh) == state(self.kernel)
        self.kernel, self.script = fresh, script
        self.tell(e.EngineRestarted(time_ns=self.now_ns, epoch=self.epoch))
        asked = {c.client_order_id for c in self.commands if isinstance(c, e.AskOrder)}
        assert {o.client_order_id for o in self.kernel.orders.open_orders()} <= asked

    @rule(chance=st.integers(0, 9))
    def operator_kills(self, chance):
        if chance:
            return
        self.tell(e.OperatorSpoke(time_ns=self.now_ns, command="kill"))

    @rule()
    def operator_stops(self):
        self.tell(e.OperatorSpoke(time_ns=self.now_ns, command="stop"))

    def rebuilt(self):
        """A fresh kernel that was told every event so far."""
        script = Script("s")
        script.then = list(self.actions)
        fresh = pool_kernel(script, market_maker(), pools=(V3,), book_age_ms_max=60_000, is_open=False, **LIMITS)
        digest = replay(fresh, self.events)
        assert digest.hex == self.digest.hex
        return fresh, script

    # --- what always holds

    @invariant()
    def books_follow_the_trades_to_the_last_unit(self):
        start = {ETH.id: 100, USDC.id: 500_000, TOKEN_USDC.id: 500_000, WETH.id: 100, NATIVE.id: 10}
        for asset in (ETH, USDC, WETH, TOKEN_USDC, NATIVE):
            assert self.kernel.portfolio.balances[asset.id] == start[asset.id] * asset.unit + self.changes[asset.id]

    @invariant()
    def ids_are_given_once(self):
        ids = [c.client_order_id for c in self.orders()]
        assert len(ids) == len(set(ids))

    @invariant()
    def open_orders_are_those_without_an_end(self):
        known = self.kernel.orders
        assert known.open_orders() == [o for o in known.orders.values() if o.state.is_open]
        assert len(known.open_orders()) <= LIMITS["open_orders_max"]
        assert all(o.filled_lots == self.executed.get(i, 0) for i, o in known.orders.items())

    @invariant()
    def nothing_is_begun_after_a_halt(self):
        kinds = [type(c) for c in self.commands]
        if StrategiesHalted in kinds:
            after = kinds[kinds.index(StrategiesHalted) :]
            assert e.PlaceOrder not in after
            # A restart hands custody again what it had asked before; nothing new.
            swaps = [c.intent_id for c in self.commands if isinstance(c, e.SubmitSwap)]
            before = [
                c.intent_id for c in self.commands[: kinds.index(StrategiesHalted)] if isinstance(c, e.SubmitSwap)
            ]
            assert set(swaps) == set(before)


def state(k):
    """Everything decisions depend on that a replay must rebuild."""
    return (
        k.portfolio.balances, {i: repr(o) for i, o in k.orders.orders.items()}, k.swaps, k.settled, k.halted,
        k.stopping, k.marks, k.risk.peak, k.orders.epoch, k.result(),
    )  # fmt: skip


KernelMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestKernelMachine = KernelMachine.TestCase
