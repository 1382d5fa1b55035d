"""`ctx.place` and `ctx.order`: the same words are the same orders in a backtest and live; what cannot be is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain import OrderState, OrderType, Side, TimeInForce
from domain import events as e
from engine.edge.words import rule
from engine.records import CommandKind
from engine.sdk import Strategy
from tests.engine.edge.test_edge import ID, command, decode
from tests.engine.markets import book, fill, native_kernel, order_id, report
from tests.engine.sdk.runs import BTC, market, records, run

WORDS = {
    ("limit", "gtc"): (OrderType.LIMIT, TimeInForce.GTC),
    ("limit", "ioc"): (OrderType.LIMIT, TimeInForce.IOC),
    ("limit", "fok"): (OrderType.LIMIT, TimeInForce.FOK),
    ("limit_maker", "gtc"): (OrderType.LIMIT_MAKER, TimeInForce.GTC),
    ("market", "gtc"): (OrderType.LIMIT, TimeInForce.IOC),
    ("market", "ioc"): (OrderType.LIMIT, TimeInForce.IOC),
    ("market", "fok"): (OrderType.LIMIT, TimeInForce.FOK),
}
TYPES, TIMES = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET), tuple(TimeInForce)


class Scripted(Strategy):
    """Does one thing after another, a book each, and keeps what came of it."""

    book_interval_ns = 100_000_000

    def __init__(self, *acts):
        super().__init__("s")
        self.acts, self.got = list(acts), []

    def on_book(self, ctx, book):
        if self.acts and book.is_valid:
            self.got.append(self.acts.pop(0)(ctx, book))


def buying(order_type, time_in_force, *, price=None, size=1, **how):
    def act(ctx, book):
        limit = book.bid - 50 if price is None else price
        return ctx.place(book.instrument, 0, limit, size, order_type=order_type, time_in_force=time_in_force, **how)

    return act


@pytest.mark.parametrize(("words", "meant"), WORDS.items(), ids="-".join)
def test_the_same_words_are_the_same_order_in_a_backtest_and_live(words, meant):
    strategy = Scripted(buying(*words))
    _, commands = records(run(strategy, market(1)))
    placed = commands[commands["kind"] == CommandKind.PLACE][0]
    assert (TYPES[placed["order_type"]], TIMES[placed["time_in_force"]]) == meant
    assert strategy.got == [placed["client_id"]]

    live = native_kernel(Scripted(buying(*words, size=1_000)))
    [command] = live.step(book())
    assert isinstance(command, e.PlaceOrder)
    assert (command.type, command.time_in_force, command.reduce_only) == (*meant, False)


@pytest.mark.parametrize("words", [("stop", "gtc"), ("limit", "day"), ("limit_maker", "ioc"), ("limit_maker", "fok")])
def test_words_that_do_not_exist_are_errors_in_both(words):
    told = []
    for go in (lambda s: run(s, market(1)), lambda s: native_kernel(s).step(book())):
        with pytest.raises(ValueError, match=r"maker|order type|time in force") as caught:
            go(Scripted(buying(*words)))
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_market_order_without_a_bound_is_refused_by_name():
    strategy = Scripted(buying("market", "gtc", price=0))
    _, commands = records(run(strategy, market(1)))
    assert strategy.got == [None]
    assert [rule(c["rule"]) for c in commands if c["kind"] == CommandKind.REJECTED] == ["unbounded"]
    [refused] = native_kernel(Scripted(buying("market", "gtc", price=0))).step(book())
    assert isinstance(refused, e.RiskRejected)
    assert refused.rule == "unbounded"


def test_reduce_only_reduces_a_contract_and_never_opens():
    def close(size):
        def act(ctx, book):
            how = {"order_type": "market", "reduce_only": True}
            return ctx.position(book.instrument), ctx.place(book.instrument, 1, book.bid - 50, size, **how)

        return act

    buy = buying("market", "gtc", price=300_100, size=3)
    strategy = Scripted(close(1), buy, close(4), close(3), lambda ctx, book: ctx.position(book.instrument))
    fills, commands = records(run(strategy, market(2)))
    (flat, opened), bought, (held, turned), (_, closed), at_the_end = strategy.got
    assert (flat, opened, held, turned, at_the_end) == (0, None, 3, None, 0)
    assert bought is not None
    assert closed is not None
    assert [rule(c["rule"]) for c in commands if c["kind"] == CommandKind.REJECTED] == ["reduce_only"] * 2
    assert commands[commands["client_id"] == closed]["reduce_only"].tolist() == [1]
    assert fills["size"].sum() == 6


def test_reduce_only_on_spot_is_refused_by_name_in_both():
    spot = replace(BTC, contract="spot")
    strategy = Scripted(buying("limit", "gtc", reduce_only=True))
    _, commands = records(run(strategy, market(1), markets=(spot,)))
    assert strategy.got == [None]
    assert [rule(c["rule"]) for c in commands if c["kind"] == CommandKind.REJECTED] == ["cannot_reduce"]
    [refused] = native_kernel(Scripted(buying("limit", "gtc", reduce_only=True))).step(book())
    assert isinstance(refused, e.RiskRejected)
    assert refused.rule == "cannot_reduce"


def test_an_order_is_known_from_its_place_to_after_its_end():
    seen = []

    def look(ctx, book):
        orders = [ctx.order(order) for order in (strategy.got[0], 12345)]
        seen.append([None if o is None else (o.side, o.size, o.filled, o.is_open, o.is_cancelling) for o in orders])

    def cancel(ctx, book):
        ctx.cancel(strategy.got[0])

    strategy = Scripted(buying("limit", "gtc"), look, cancel, look)
    run(strategy, market(1))
    assert seen == [[(0, 1, 0, True, False), None], [(0, 1, 0, False, True), None]]

    seen.clear()
    strategy = Scripted(buying("limit", "gtc", price=300_000, size=1_000), look, look, cancel, look)
    live = native_kernel(strategy)
    live.step(book())
    ours = order_id(0, 1)
    live.step(report(ours, OrderState.ACCEPTED))
    live.step(book(10**9 + 1 * 10**8))
    live.step(fill(ours, 400, side=Side.BUY, ticks=300_000))
    for at in (2, 3):
        live.step(book(10**9 + at * 10**8))
    live.step(report(ours, OrderState.CANCELED, filled_lots=400))
    live.step(book(10**9 + 4 * 10**8))
    assert seen == [
        [(0, 1_000, 0, True, False), None],
        [(0, 1_000, 400, True, False), None],
        [(0, 1_000, 400, False, True), None],
    ]


def test_another_strategys_order_is_nobodys():
    first, second = Scripted(buying("limit", "gtc", price=299_000, size=1_000)), Scripted(lambda ctx, book: None)
    first.id, second.id = "a", "b"
    second.acts = [lambda ctx, book: ctx.order(first.got[0])]
    live = native_kernel(first, second)
    live.step(book())
    assert second.got == [None]
    assert live.native.order(first.got[0])["is_open"]


def test_a_reduce_only_order_says_so_in_words():
    [order] = decode(command(CommandKind.PLACE, client_id=ID.number, price=3, size=4, side=1, reduce_only=1))
    assert isinstance(order, e.PlaceOrder)
    assert order.reduce_only
