"""The native kernel and the plain manager it replaced say the same of the same orders, event by event."""

from __future__ import annotations

from fractions import Fraction

import pytest
from capstan_native import Kernel, KernelBroken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.records import CommandKind, ReportState
from tests.engine.native import desk
from tests.engine.native.desk import BTC, BUY, INVERSE, LINEAR, SECOND, SELL, SPOT, USD
from tests.reference import oms, portfolio

REPORTS = {
    "unknown": ReportState.LOST,
    "accepted": ReportState.ACCEPTED,
    "partially_filled": ReportState.PARTIALLY_FILLED,
    "filled": ReportState.FILLED,
    "canceled": ReportState.CANCELED,
    "expired": ReportState.EXPIRED,
    "rejected": ReportState.REJECTED,
}
STEP = st.one_of(
    st.tuples(st.just("place"), st.booleans(), st.integers(1, 100)),
    st.tuples(st.just("report"), st.integers(0, 9), st.sampled_from(sorted(REPORTS)), st.none() | st.integers(0, 100)),
    st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 60), st.integers(1, 12)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("timer"), st.integers(0, 4_000)),
)


class Both:
    """The kernel and its oracle, told the same."""

    def __init__(self) -> None:
        self.kernel = desk.opened(Kernel(desk.config()))
        self.kernel.take_commands()
        self.plain = oms.Orders()
        self.ids: list[int] = []
        self.now_ns = 2 * SECOND
        self.kernel.step(desk.timer(self.now_ns))

    def place(self, rests: bool, size: int) -> None:
        kind, tif = (1, 0) if rests else (0, 1)
        order_id = self.kernel.place(0, SPOT, BUY, 500_000, size, order_type=kind, time_in_force=tif)
        assert order_id is not None
        self.ids.append(order_id)
        self.plain.place(oms.Order(order_id, BUY, 500_000, size, rests, self.now_ns))
        self.kernel.take_commands()

    def report(self, index: int, state: str, filled: int | None) -> None:
        if not self.ids:
            return
        order_id = self.ids[index % len(self.ids)]
        # A venue says filled only of what is, and never more than the order's size.
        size = self.plain.orders[order_id].size
        filled = size if state == "filled" and filled is not None else filled and min(filled, size)
        record = desk.report(self.now_ns, order_id, REPORTS[state], filled=-1 if filled is None else filled)
        assert self.kernel.step(record) == b""
        self.plain.report(order_id, state, filled)

    def fill(self, index: int, lots: int, trade: int) -> None:
        if not self.ids:
            return
        order_id = self.ids[index % len(self.ids)]
        # Trade ids are the venue's: another order's trade has another.
        trade += 1_000 * (index % len(self.ids))
        order = self.plain.orders[order_id]
        record = desk.fill(self.now_ns, order_id, BUY, 500_000, lots, trade)
        if trade not in order.trades and order.filled + lots > order.size:
            lots = order.size - order.filled
            if lots == 0:
                return
            record = desk.fill(self.now_ns, order_id, BUY, 500_000, lots, trade)
        self.kernel.step(record)
        self.plain.fill(order_id, trade, lots)

    def cancel(self, index: int) -> None:
        if self.ids:
            order_id = self.ids[index % len(self.ids)]
            self.kernel.cancel(order_id)
            goes = self.plain.cancel(order_id, self.now_ns)
            assert desk.kinds(self.kernel.take_commands()) == [CommandKind.CANCEL] * goes

    def timer(self, passes_ms: int) -> None:
        self.now_ns += passes_ms * 1_000_000
        told = desk.commands(self.kernel.step(desk.timer(self.now_ns)))
        names = {CommandKind.ASK: "ask", CommandKind.CANCEL: "cancel"}
        found = [(names[CommandKind(c["kind"])], int(c["client_id"])) for c in told]
        assert found == list(self.plain.timer(self.now_ns))

    def compare(self) -> None:
        lots = 0
        for order_id, plain in self.plain.orders.items():
            native = self.kernel.order(order_id)
            assert native is not None
            assert (native["state"], native["filled"]) == (plain.state, plain.filled)
            lots += plain.filled
        assert [o["client_id"] for o in self.kernel.open_orders()] == [
            o.id for o in self.plain.orders.values() if o.is_open
        ]
        waiting = sum(o.size - o.filled for o in self.plain.orders.values() if o.is_open)
        assert self.kernel.reserved(0, SPOT) == (waiting, 0, waiting * 500_000)
        assert self.kernel.position(0, SPOT) == lots
        assert self.kernel.balance(BTC) == lots * 1_000
        assert self.kernel.balance(USD) == -lots * 50_000_000


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, max_size=60))
def test_both_know_the_same_of_every_order(steps):
    both = Both()
    for name, *arguments in steps:
        getattr(both, name)(*arguments)
        both.compare()


def test_both_refuse_more_trades_than_the_order_is_worth():
    both = Both()
    both.place(rests=True, size=10)
    both.fill(0, 10, 1)
    with pytest.raises(oms.Overfilled):
        both.plain.fill(both.ids[0], 2, 1)
    with pytest.raises(KernelBroken):
        both.kernel.step(desk.fill(both.now_ns, both.ids[0], BUY, 500_000, 1, 2))


TERMS = {
    SPOT: portfolio.Terms("spot", base_per_lot=1_000, quote_per_tick_lot=100),
    LINEAR: portfolio.Terms("linear", base_per_lot=100_000, quote_per_tick_lot=10_000),
    INVERSE: portfolio.Terms("inverse", inverse_numerator=100 * 10**8 * 10),
}
TRADE = st.tuples(
    st.sampled_from(sorted(TERMS)),
    st.integers(0, 1),
    st.sampled_from((BUY, SELL)),
    st.integers(1, 50),
    st.integers(400_000, 600_000),
    st.integers(-500, 500),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TRADE, max_size=40), st.integers(400_000, 600_000))
def test_holdings_and_results_are_the_plain_ones(trades, bid):
    kernel = Kernel(desk.config())
    books = [portfolio.Book(), portfolio.Book()]
    for number, (at, strategy, side, lots, price, fee) in enumerate(trades):
        # An order of the run that this process does not know: booked under the strategy its id names.
        order_id = 7 << 48 | strategy << 28 | 1_000
        kernel.step(desk.fill(number, order_id, side, price, lots, number, fee=fee, instrument=at))
        portfolio.fill(books[strategy], at, TERMS[at], 1 if side == BUY else -1, lots, price, fee)
    for at in TERMS:
        kernel.step(desk.book(SECOND, bid, bid + 1, at))
    mid = Fraction(2 * bid + 1, 2)
    price_usd = mid / 10
    for strategy, book in enumerate(books):
        for at in TERMS:
            assert kernel.position(strategy, at) == book.lots.get(at, 0)
        linear = portfolio.contract_result(book, LINEAR, TERMS[LINEAR], mid)
        inverse = portfolio.contract_result(book, INVERSE, TERMS[INVERSE], mid)
        expected = book.quote + linear + (book.base + inverse) * price_usd
        found = kernel.result(strategy)
        assert found is not None
        # Never more than it is; less by a unit each for every asset, position and close that was rounded.
        assert 0 <= expected - found < (3 + len(trades)) * (price_usd + 1)
    total = kernel.result()
    assert total is not None
    moved = [kernel.moved(s, asset) for asset in (BTC, USD) for s in (0, 1, 255)]
    assert [sum(moved[:3]), sum(moved[3:])] == [kernel.balance(BTC), kernel.balance(USD)]
