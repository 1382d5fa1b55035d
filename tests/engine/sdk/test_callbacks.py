"""Python strategies in the native kernel: which callback comes when, views instead of copies, errors that surface."""

from __future__ import annotations

import capstan_native as native
import numpy as np
import pytest

from domain import InputError
from engine.records import EVENT, EventFlag, EventKind
from engine.sdk import Strategy
from engine.sdk.run import engine_config
from tests.engine.sdk.runs import BTC, VENUE, market, records, run


class Watching(Strategy):
    """Keeps what it is told."""

    def __init__(self, **intervals):
        super().__init__("w")
        self.books, self.trades, self.times = 0, [], []
        self.book_interval_ns = intervals.get("books", 0)
        self.trades_interval_ns = intervals.get("trades", 0)

    def on_book(self, ctx, book):
        self.books += 1
        self.times.append(ctx.now_ns)

    def on_trades(self, ctx, trades):
        assert trades.dtype == EVENT
        self.trades.append(trades.copy())


def messages(events, kind):
    return events[(events["kind"] == kind) & (events["flags"] & EventFlag.LAST != 0)]


def test_book_comes_once_per_message_and_trades_with_theirs():
    events, strategy = market(5), Watching()
    run(strategy, events)
    assert strategy.books == len(messages(events, EventKind.LEVEL))
    assert np.array_equal(np.concatenate(strategy.trades), events[events["kind"] == EventKind.TRADE])


def test_intervals_conflate_books_and_batch_trades_without_losing_one():
    events, every_ns = market(5), 100_000_000
    strategy = Watching(books=every_ns, trades=every_ns)
    run(strategy, events)
    cells = [time_ns // every_ns for time_ns in strategy.times]
    assert len(cells) == len(set(cells)) >= 45
    told = np.concatenate(strategy.trades)
    expected = events[events["kind"] == EventKind.TRADE]
    assert np.array_equal(told, expected[: len(told)])
    assert len(strategy.trades) < len(told)


def test_every_record_reaches_on_event():
    class Every(Strategy):
        seen = 0

        def on_event(self, ctx, event):
            self.seen += 1
            self.last = (event.kind, event.price, event.size, event.sequence, event.time_ns)

    events, strategy = market(5), Every()
    run(strategy, events)
    assert strategy.seen == len(events)
    assert strategy.last == tuple(events[-1][["kind", "price", "size", "sequence", "time_local_ns"]].tolist())


def test_views_are_the_kernels_own_memory_and_reused():
    class Views(Strategy):
        held = None

        def on_book(self, ctx, book):
            bids, asks = book.levels(3)
            assert not bids.flags.owndata
            assert not bids.flags.writeable
            assert bids.shape == asks.shape == (3, 2)
            assert (bids[0, 0], bids[0, 1]) == (book.bid, book.bid_size)
            assert (asks[0, 0], asks[0, 1]) == (book.ask, book.ask_size)
            assert (np.diff(bids[:, 0]) < 0).all()
            assert (np.diff(asks[:, 0]) > 0).all()
            if self.held is not None:
                assert np.shares_memory(self.held, bids)
                assert ctx.book(book.instrument) is book
            self.held = bids

    strategy = Views()
    run(strategy, market(2))
    assert strategy.held is not None


def test_what_is_not_overridden_is_not_called_and_costs_no_subscription():
    config = engine_config((BTC,), [("s", Strategy())], account="USDT")
    assert config["strategies"][0]["subscriptions"] == [(None, 0)]


class Round(Strategy):
    """Buys once, sells what it bought, and keeps what it is told about it."""

    def __init__(self):
        super().__init__("r")
        self.told, self.started, self.timers = [], 0, []

    def on_start(self, ctx):
        self.started += 1
        self.market = ctx.instrument("sim:BTCUSDT")
        ctx.timer(ctx.now_ns + 1_000_000_000, 42)

    def on_book(self, ctx, book):
        if not self.told:
            self.order = ctx.take(self.market, 0, book.ask + 5, 3)
            self.told.append(("sent", self.order, ctx.is_open(self.order)))

    def on_order(self, ctx, event):
        self.told.append(("order", event.client_id))

    def on_fill(self, ctx, event):
        self.told.append(("fill", event.client_id, event.side, event.size, ctx.position(self.market), event.is_maker))

    def on_timer(self, ctx, event):
        self.timers.append((event.aux0, ctx.now_ns))
        self.units, self.mark = ctx.units("BTC"), ctx.mark("BTC")


def test_order_fill_and_timer_come_back_to_the_strategy_that_asked():
    strategy = Round()
    made = run(strategy, market(5))
    assert strategy.started == 1
    assert strategy.told[0] == ("sent", strategy.order, True)
    fills = [t for t in strategy.told if t[0] == "fill"]
    assert sum(f[3] for f in fills) == 3
    assert fills[-1][1:3] == (strategy.order, 0)
    assert fills[-1][4:] == (3, False)
    assert [tag for tag, _ in strategy.timers] == [42]
    assert 29_000 < strategy.mark < 31_000
    assert made.standing(0, 0) == (3, 0)


def test_error_in_a_callback_ends_the_run_with_that_error():
    class Failing(Strategy):
        def on_book(self, ctx, book):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(Failing(), market(2))


def test_context_and_views_outside_a_callback_say_so():
    class Keeping(Strategy):
        def on_book(self, ctx, book):
            self.kept = ctx, book

    strategy = Keeping()
    run(strategy, market(1))
    ctx, book = strategy.kept
    for use in (lambda: ctx.now_ns, lambda: book.bid, lambda: ctx.quote(0, (), ()), lambda: book.levels(1)):
        with pytest.raises(RuntimeError, match="inside the strategy's callbacks"):
            use()


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda ctx: ctx.position(7), IndexError),
        (lambda ctx: ctx.instrument("x:y"), KeyError),
        (lambda ctx: ctx.take(0, 2, 1, 1), ValueError),
        (lambda ctx: ctx.timer(0, 0), ValueError),
        (lambda ctx: ctx.cancel(1 << 60 | 5 << 28), ValueError),
        (lambda ctx: ctx.quote(0, [(1,)], ()), ValueError),
        (lambda ctx: ctx.units("DOGE"), KeyError),
    ],
)
def test_wrong_arguments_are_named_errors(action, error):
    class Wrong(Strategy):
        def on_book(self, ctx, book):
            action(ctx)

    with pytest.raises(error):
        run(Wrong(), market(1))


def test_unknown_instrument_of_a_strategy_is_named_before_the_run():
    strategy = Watching()
    strategy.instruments = ("sim:ETHUSDT",)
    with pytest.raises(InputError, match="no instrument sim:ETHUSDT"):
        engine_config((BTC,), [("w", strategy)], account="USDT")


def test_quotes_that_are_said_again_send_nothing():
    class Twice(Strategy):
        def on_book(self, ctx, book):
            for _ in range(2):
                ctx.quote(0, [(book.bid - 40, 5)], ((book.ask + 40, 5),))
            self.orders = ctx.open_orders(0)

    strategy = Twice()
    events = market(1)[:60]
    _, commands = records(run(strategy, events))
    assert (commands["kind"] == 1).sum() - (commands["kind"] == 3).sum() <= 2
    assert {(o.side, o.size) for o in strategy.orders} <= {(0, 5), (1, 5)}


def test_state_of_the_conflation_is_part_of_the_snapshot():
    made = run(Watching(books=10**8, trades=10**9), market(5))
    (state,) = made.states()
    assert len(state) > 2 + 8 * 2 + 4
    (again,) = run(Watching(books=10**8, trades=10**9), market(5)).states()
    assert state == again


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_states_go_over_to_another_process_and_damaged_ones_do_not(cut):
    class Saving(Watching):
        saved = ("books", "times")

    def fresh(events):
        strategy = Saving(books=10**8, trades=10**9)
        return strategy, run(strategy, events)

    first, one = fresh(market(5))
    second, other = fresh(market(1))
    assert one.states() != other.states()
    other.restore(one.states())
    assert (second.books, second.times) == (first.books, first.times)
    (before,), (after,) = one.states(), other.states()
    # Whether it was started belongs to the process, not to the state.
    assert before[1:] == after[1:]
    with pytest.raises((ValueError, InputError)):
        other.restore([before[:-cut]])


def test_backtests_say_that_they_have_no_pools():
    class Swapping(Strategy):
        def on_book(self, ctx, book):
            ctx.swap("eip155:1/pool", "a", 1, 1, 1)

    with pytest.raises(KeyError, match="no pool eip155:1/pool"):
        run(Swapping(), market(1))


def test_events_that_are_no_records_are_refused():
    made = native.Backtest(engine_config((BTC,), [("s", Strategy())], account="USDT"), (Strategy(),), [VENUE])
    with pytest.raises(ValueError, match="records of 64 bytes"):
        made.run(np.zeros(100, np.uint8), 10)
