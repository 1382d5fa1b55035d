"""A venue whose messages get lost, come twice and out of order: its whole answer puts everything right in one pass.

`ModelVenue` is the truth. The kernel is told what the script lets through; then it is told the venue's answer, again
and again: the first pass must make both agree, the next must change nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from capstan_native import Kernel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.records import CommandKind, Reason, ReportState
from tests.engine.native import desk
from tests.engine.native.desk import BTC, BUY, SECOND, SELL, SPOT, USD


@dataclass(slots=True)
class Resting:
    id: int
    side: int
    price: int
    size: int
    number: int
    filled: int = 0


class ModelVenue:
    """An exchange reduced to what reconciliation is about; every word it says is a record that may get lost."""

    def __init__(self) -> None:
        self.open: dict[int, Resting] = {}
        self.trades: list[tuple[int, int, int, int, int]] = []
        self.placed = 0

    def take(self, command: Any, now_ns: int) -> bytes:
        """Carry a command out; return what it says of it."""
        order_id, kind = int(command["client_id"]), CommandKind(command["kind"])
        order = self.open.get(order_id)
        if kind is CommandKind.PLACE:
            self.placed += 1
            self.open[order_id] = Resting(
                order_id, int(command["side"]), int(command["price"]), int(command["size"]), self.placed
            )
            return desk.report(now_ns, order_id, ReportState.ACCEPTED, answers=kind, filled=0, venue_order=self.placed)
        if order is None:
            reason = Reason.UNKNOWN_ORDER
            return desk.report(now_ns, order_id, ReportState.UNKNOWN, answers=kind, reason=reason)
        if kind is CommandKind.AMEND:
            if int(command["size"]) <= order.filled:
                return desk.report(now_ns, order_id, self.state(order), answers=kind, reason=Reason.INVALID)
            order.price, order.size = int(command["price"]), int(command["size"])
            return desk.report(now_ns, order_id, self.state(order), answers=kind, filled=order.filled)
        assert kind is CommandKind.CANCEL, kind
        del self.open[order_id]
        return desk.report(now_ns, order_id, ReportState.CANCELED, answers=kind, filled=order.filled)

    def trade(self, order: Resting, lots: int, now_ns: int) -> list[bytes]:
        """Execute part of an order."""
        order.filled += lots
        number = len(self.trades) + 1
        self.trades.append((order.id, order.side, order.price, lots, number))
        told = [desk.fill(now_ns, order.id, order.side, order.price, lots, number)]
        if order.filled == order.size:
            del self.open[order.id]
            told.append(desk.report(now_ns, order.id, ReportState.FILLED, filled=order.filled))
        return told

    def answer(self, now_ns: int, shuffled: random.Random) -> bytes:
        """Everything it knows of the account."""
        parts = [desk.fill(now_ns, *trade, asked=True) for trade in self.trades]
        for order in self.open.values():
            state, terms = self.state(order), (order.price, order.size)
            parts.append(
                desk.report(
                    now_ns, order.id, state, filled=order.filled, asked=True, terms=terms, venue_order=order.number
                )
            )
        base = sum((1 if side == BUY else -1) * lots for _, side, _, lots, _ in self.trades)
        quote = sum((1 if side == BUY else -1) * lots * price for _, side, price, lots, _ in self.trades)
        parts += [desk.balance(now_ns, BTC, base * 1_000), desk.balance(now_ns, USD, -quote * 100)]
        shuffled.shuffle(parts)
        begin, end = (desk.reconcile(now_ns, end=is_end, asked_ns=now_ns) for is_end in (False, True))
        return begin + b"".join(parts) + end

    @staticmethod
    def state(order: Resting) -> ReportState:
        return ReportState.PARTIALLY_FILLED if order.filled else ReportState.ACCEPTED


STEP = st.tuples(
    st.sampled_from(("place", "place", "amend", "cancel", "trade", "trade", "wait", "answer")),
    st.integers(0, 9),
    st.integers(1, 40),
    st.sampled_from(("told", "told", "request lost", "answer lost", "twice", "late")),
)


class World:
    def __init__(self, seed: int) -> None:
        self.kernel = desk.opened(Kernel(desk.config()))
        self.venue, self.now_ns, self.late = ModelVenue(), 2 * SECOND, list[bytes]()
        self.shuffled = random.Random(seed)
        self.kernel.step(self.venue.answer(self.now_ns, self.shuffled))

    def do(self, name: str, index: int, lots: int, fate: str) -> None:
        self.now_ns += SECOND // 10
        orders = self.kernel.open_orders()
        chosen: Any = orders[index % len(orders)] if orders else None
        if name == "place":
            side, price = (BUY, 499_900 - index) if index % 2 else (SELL, 500_100 + index)
            self.kernel.place(0, SPOT, side, price, lots)
        elif name == "amend" and chosen is not None:
            away = -1 if chosen["side"] == BUY else 1
            self.kernel.amend(chosen["client_id"], chosen["price"] + away * (index + 1), chosen["filled"] + lots)
        elif name == "cancel" and chosen is not None:
            self.kernel.cancel(chosen["client_id"])
        elif name == "trade" and self.venue.open:
            order = list(self.venue.open.values())[index % len(self.venue.open)]
            for word in self.venue.trade(order, min(lots, order.size - order.filled), self.now_ns):
                self.tell(word, fate)
        elif name == "wait":
            self.now_ns += lots * SECOND // 10
            self.kernel.ingest(desk.timer(self.now_ns))
        elif name == "answer":
            # In the middle of everything, and once more late: what was sent since it was asked for is not judged.
            self.carry_out(self.kernel.step(self.venue.answer(self.now_ns, self.shuffled)), fate)
        self.carry_out(self.kernel.take_commands(), fate)

    def carry_out(self, commands: bytes, fate: str) -> None:
        for command in desk.commands(commands):
            kind = CommandKind(command["kind"])
            if kind in (CommandKind.PLACE, CommandKind.AMEND, CommandKind.CANCEL) and fate != "request lost":
                self.tell(self.venue.take(command, self.now_ns), fate)

    def tell(self, word: bytes, fate: str) -> None:
        if fate == "late":
            self.late.append(word)
        elif fate != "answer lost":
            for _ in range(2 if fate == "twice" else 1):
                self.kernel.ingest(word)
            for waiting in self.late[::-1]:
                self.kernel.ingest(waiting)
            self.late.clear()

    def facts(self) -> tuple[object, ...]:
        k = self.kernel
        return k.orders(), k.balance(BTC), k.balance(USD), k.position(0, SPOT), k.reserved(0, SPOT), k.trades


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, max_size=40), st.integers(0, 1 << 32))
def test_whatever_got_lost_one_pass_puts_right_and_the_next_changes_nothing(steps, seed):
    world = World(seed)
    for step in steps:
        world.do(*step)
    kernel, venue = world.kernel, world.venue
    passes = []
    for _ in range(3):
        world.now_ns += 5 * SECOND
        kernel.step(venue.answer(world.now_ns, world.shuffled))
        passes.append((world.facts(), kernel.reconciliation["findings"]))
    assert kernel.reconciliation["changes"] == 0
    assert passes[1] == passes[2]
    known = {o["client_id"]: (o["price"], o["size"], o["filled"], o["amend"]) for o in kernel.open_orders()}
    assert known == {o.id: (o.price, o.size, o.filled, None) for o in venue.open.values()}
    base = sum((1 if side == BUY else -1) * lots for _, side, _, lots, _ in venue.trades)
    assert (kernel.position(0, SPOT), kernel.trades) == (base, len(venue.trades))
    assert passes[2][1] == [], "nothing foreign is there to be found"
    # What was still on its way arrives at last, and says nothing new.
    settled = world.facts()
    for word in world.late:
        kernel.step(word)
    assert world.facts()[1:] == settled[1:]
