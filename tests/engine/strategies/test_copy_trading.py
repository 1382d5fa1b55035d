"""A follower holds the leader's share, adds in time or not at all, always gets out, and keeps its own bounds."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import OrderState, Side
from domain import events as e
from engine.sdk import Strategy
from engine.strategies.copy_trading import CopyTradingSettings, _next_change
from tests.engine.strategies.desk import Desk

LEADER, OURS = "one:ETHUSDC", "two:ETHUSDC"


class Leader(Strategy):
    """Takes what it is told to at its next book."""

    instruments = (LEADER,)

    def __init__(self):
        super().__init__("leader")
        self.next = 0

    def on_book(self, ctx, book):
        lots, self.next = self.next, 0
        if lots:
            ctx.take(book.instrument, 0 if lots > 0 else 1, book.ask if lots > 0 else book.bid, abs(lots))


class Copying:
    """A leader and a follower, each at an exchange of its own."""

    def __init__(self, **settings):
        self.leader = Leader()
        given = {"leader": "leader", "leader_instrument": LEADER, "instrument": OURS, "position_max": "1"}
        made = CopyTradingSettings.model_validate(given | settings)
        self.desk = Desk(made, venues=("one", "two"), others=(self.leader,))
        self.desk.book(299_990, 300_010, at=1)

    def lead(self, lots):
        """The leader trades so many lots; nobody told the follower yet."""
        self.leader.next = lots
        [order] = [o for o in self.desk.book(299_990, 300_010) if type(o).__name__ == "PlaceOrder"]
        open_order = self.desk.kernel.orders.orders[order.client_order_id]
        self.desk.fill(open_order)

    def show(self, bid=299_990, ask=300_010, *, after_s=0.2):
        """The follower's book; give what it orders: side, price, lots."""
        return [
            o for o in self.desk.book(bid, ask, at=1, after_s=after_s)
            if type(o).__name__ == "PlaceOrder" and o.strategy == self.desk.strategy.id
        ]  # fmt: skip

    def fill(self, order, lots=None):
        self.desk.fill(self.desk.kernel.orders.orders[order.client_order_id], lots)


def test_it_holds_the_leaders_share_and_follows_it_out():
    copying = Copying(scale="0.5")
    copying.lead(400)
    [order] = copying.show()
    assert (order.side, order.qty_lots) == (Side.BUY, 200)
    copying.fill(order)
    assert copying.show() == []
    copying.lead(-400)
    [order] = copying.show()
    assert (order.side, order.qty_lots) == (Side.SELL, 200)


def test_limit_is_the_mid_that_was_noticed_and_what_it_may_slip():
    copying = Copying(slippage_max_bps="10")
    copying.lead(100)
    [order] = copying.show()
    assert order.price_ticks == 300_300
    copying.fill(order, 40)
    report_end(copying, order)
    # The market went away; the limit stays where the change was noticed.
    [again] = copying.show(300_090, 300_110)
    assert (again.price_ticks, again.qty_lots) == (300_300, 60)


def test_what_adds_too_late_is_missed_and_said_once():
    copying = Copying(latency_ms_max=500)
    said = []
    copying.desk.kernel.on_signal = said.append
    copying.lead(100)
    copying.desk.lose_book(at=1)
    copying.desk.book(299_990, 300_010)
    assert [s.name for s in said] == []
    assert len(copying.show()) == 1  # Noticed only now: the time runs from here.
    late = Copying(latency_ms_max=500, position_max="0.2")
    late.desk.kernel.on_signal = said.append
    late.lead(300)
    [order] = late.show()
    late.fill(order, 100)
    report_end(late, order)
    assert late.show(after_s=1) == []
    assert late.show(after_s=1) == []
    assert [s.name for s in said].count("missed") == 1
    late.lead(-300)
    [order] = late.show(after_s=5)
    assert (order.side, order.qty_lots) == (Side.SELL, 100)
    report_end(late, order)
    [again] = late.show(after_s=60)
    assert again.qty_lots == 100, "getting out is never late"


def report_end(copying, order):
    """The venue says that the rest of an immediate order is gone."""
    filled = copying.desk.kernel.orders.orders[order.client_order_id].filled_lots
    copying.desk.tell(
        e.OrderReported(
            time_ns=copying.desk.now_ns, client_order_id=order.client_order_id, state=OrderState.EXPIRED,
            filled_lots=filled,
        )
    )  # fmt: skip


def test_its_own_bound_holds_whatever_the_leader_does():
    copying = Copying(scale="3", position_max="0.5")
    copying.lead(900)
    [order] = copying.show()
    assert order.qty_lots == 500
    copying.fill(order)
    copying.lead(600)
    assert copying.show() == []


def test_a_leader_that_is_not_there_is_found_at_the_start():
    made = CopyTradingSettings(leader="nobody", leader_instrument=LEADER, instrument=OURS, position_max=Decimal(1))
    desk = Desk(made, venues=("one", "two"))
    with pytest.raises(KeyError, match="no strategy nobody"):
        desk.book(299_990, 300_010)


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_changes_lead_to_the_target_without_ever_growing_past_it(position, target):
    steps = 0
    while position != target:
        change, is_adding = _next_change(position, target)
        assert is_adding == (abs(position + change) > abs(position))
        assert position == 0 or (position + change) * position >= 0, "never through zero at once"
        position += change
        steps += 1
        assert steps <= 2
    assert _next_change(position, target)[0] == 0
