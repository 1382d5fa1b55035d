"""Signals: in order with their inputs in backtests and live, once each over a restart, and never part of a decision."""

from __future__ import annotations

import msgspec
import numpy as np

from engine.journal import Journal
from engine.runner import LiveRunner
from engine.sdk import Signal, Strategy
from engine.signal_log import SignalLog
from engine.wiring import Wiring
from runtime import ManualClock
from tests.engine.markets import SECOND, book, native_kernel
from tests.engine.places import MemoryBooks
from tests.engine.sdk.runs import market, run


class Saying(Strategy):
    """Signals the spread at each book, and quotes."""

    says = True

    def on_book(self, ctx, book):
        if self.says:
            ctx.signal("spread", book.ask - book.bid, bid=book.bid, why="test")
        ctx.quote(book.instrument, ((book.bid - 1, 10),), ())


class Silent(Saying):
    says = False


def test_backtest_keeps_them_in_order_with_their_inputs():
    told, dropped = run(Saying("s"), market(2)).signals()
    assert dropped == 0
    assert len(told) > 100
    assert [at for at, *_ in told] == sorted(at for at, *_ in told)
    _at, place, name, value, inputs = told[-1]
    assert (place, name, inputs["why"]) == (0, "spread", "test")
    assert value >= 1


def test_nothing_is_decided_by_them():
    events = market(2)
    assert run(Saying("s"), events).digest() == run(Silent("s"), events).digest()


def test_live_ones_go_to_whoever_listens_with_the_strategys_name():
    kernel, heard = native_kernel(Saying("own")), []
    kernel.on_signal = heard.append
    kernel.step(book(SECOND))
    expected = Signal(time_ns=SECOND, strategy="own", name="spread", value=20.0, inputs={"bid": 299_990, "why": "test"})
    assert heard == [expected]


def test_a_replay_of_the_journal_says_nothing_again(tmp_path):
    heard = []
    with_journal = Journal.open(tmp_path / "j", {})
    with_journal.append(book(SECOND))
    with_journal.close()
    kernel, journal = native_kernel(Saying("s")), Journal.open(tmp_path / "j", {})
    wiring = Wiring(venues={}, desk=None, bookkeeper=MemoryBooks(), clock=ManualClock(SECOND), on_signal=heard.append)
    runner = LiveRunner(kernel, journal, wiring)
    runner.recover()
    journal.close()
    assert kernel.markets.books["sandbox:ETHUSDC"].changed_ns == SECOND
    assert heard == []


def test_the_log_continues_and_makes_room(tmp_path):
    def signal(number):
        return Signal(time_ns=number, strategy="s", name="n", value=np.float64(0.5), inputs={"x": np.int64(number)})

    path = tmp_path / "signals.jsonl"
    for begin in (0, 5):
        log = SignalLog(path, bytes_max=500)
        for number in range(begin, begin + 5):
            log.write(signal(number))
        log.close()
    before = path.with_name("signals.jsonl.1").read_bytes().splitlines()
    lines = before + path.read_bytes().splitlines()
    assert len(path.read_bytes()) <= 500
    found = [msgspec.json.decode(line, type=Signal) for line in lines]
    assert found == [signal(number) for number in range(10)]
