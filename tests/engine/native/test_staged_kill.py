"""The staged kill through the whole kernel: what is sent, repeated and told, until nothing is open or held."""

from __future__ import annotations

from typing import Any

import pytest
from capstan_native import Kernel

from engine.records import CommandKind, EventKind, Reason, ReportState
from tests.engine.native import desk

S = desk.SECOND
UNIT = 10**8
NAMES = ("kind", "client_id", "strategy", "instrument", "side", "price", "size", "time_in_force", "stage", "rule")
REDUCE, CANCEL, FLATTEN, FREEZE = 1, 2, 3, 4
THROTTLE, STAGE_RULE, DRAWDOWN, OVERDUE = 13, 15, 31, 35
RESUME, GO_TO_STAGE, RESUME_RUN = 3, 4, 6
KILL = {
    "cancel_again_ns": 2 * S,
    "cancel_ns_max": 30 * S,
    "flatten_ns_max": 120 * S,
    "flatten_collar_ppm": 20_000,
    "flatten_again_ns": S,
    "flatten_attempts_max": 3,
    "freeze_when_flat": True,
}


class Run:
    """A kernel, what it sent, and the venue's word, by hand."""

    def __init__(self, **limits: Any) -> None:
        self.now = S
        self.kernel = Kernel(desk.config(limits={"kill": KILL, **limits}))
        desk.opened(self.kernel, self.now)
        self._trades = 0

    def step(self, events: bytes) -> list[dict[str, Any]]:
        """The commands that events led to, as plain values."""
        found = desk.commands(self.kernel.step(events))
        return [{name: int(row[name]) for name in NAMES} | {"aux": row["aux"].tolist()} for row in found]

    def place(self, strategy: int, instrument: int, side: int, price: int, size: int, **how: int) -> int:
        order = self.kernel.place(strategy, instrument, side, price, size, **how)
        assert order is not None
        self.kernel.take_commands()
        return order

    def rest(self, strategy: int, instrument: int, side: int, price: int, size: int) -> int:
        """An order that the venue has."""
        order = self.place(strategy, instrument, side, price, size)
        self.tell(order, ReportState.ACCEPTED, instrument)
        return order

    def tell(self, order: int, state: ReportState, instrument: int, **known: Any) -> list[dict[str, Any]]:
        return self.step(desk.report(self.now, order, state, instrument=instrument, **known))

    def fill(self, order: int, side: int, price: int, lots: int, instrument: int) -> list[dict[str, Any]]:
        self._trades += 1
        return self.step(desk.fill(self.now, order, side, price, lots, self._trades, instrument=instrument))

    def books(self, bid: int) -> list[dict[str, Any]]:
        return [c for i in range(4) for c in self.step(desk.book(self.now, bid, bid + 1, i))]

    def after(self, seconds: int) -> list[dict[str, Any]]:
        self.now += seconds * S
        return self.step(desk.timer(self.now))


def kinds(commands: list[dict[str, Any]]) -> list[CommandKind]:
    return [CommandKind(command["kind"]) for command in commands]


def of(commands: list[dict[str, Any]], kind: CommandKind) -> list[dict[str, Any]]:
    return [command for command in commands if command["kind"] == kind]


def falls(run: Run, to: int) -> list[dict[str, Any]]:
    run.now += S
    return run.books(to)


def bought(run: Run, lots: int = 100_000) -> None:
    """Strategy 0 holds a coin (100,000 lots) bought at 50,000.1."""
    order = run.place(0, desk.SPOT, desk.BUY, 500_001, lots, order_type=0, time_in_force=1)
    run.fill(order, desk.BUY, 500_001, lots, desk.SPOT)


def test_from_a_breach_to_a_freeze_through_partial_ends_and_refusals() -> None:
    run = Run(losses={"drawdown": (100 * UNIT, FLATTEN)})
    bought(run)
    orders = [run.rest(n % 2, (desk.SPOT, desk.PLAIN)[n // 3], desk.SELL, 510_000 + n, 1_000) for n in range(6)]

    told = falls(run, 490_000)
    stages = of(told, CommandKind.STAGE)
    assert [(s["stage"], s["rule"]) for s in stages] == [(CANCEL, DRAWDOWN)]
    assert stages[0]["aux"][0] > stages[0]["aux"][1] == 100 * UNIT
    assert {c["aux"][0] for c in of(told, CommandKind.CANCEL_ALL)} == {0, 1}
    assert sorted(c["client_id"] for c in of(told, CommandKind.CANCEL)) == sorted(orders)
    assert kinds(told).index(CommandKind.CANCEL_ALL) < kinds(told).index(CommandKind.CANCEL)

    # One is cancelled, one fills while its cancel is on the way, one is only partly filled, one cancel is refused.
    run.tell(orders[0], ReportState.CANCELED, desk.SPOT)
    run.fill(orders[1], desk.SELL, 510_001, 1_000, desk.SPOT)
    run.fill(orders[2], desk.SELL, 510_002, 400, desk.SPOT)
    run.tell(orders[3], ReportState.ACCEPTED, desk.PLAIN, answers=CommandKind.CANCEL, reason=Reason.OTHER)
    run.books(490_000)
    assert run.kernel.place(0, desk.SPOT, desk.SELL, 510_000, 1) is None
    refused = desk.commands(run.kernel.take_commands())
    assert (refused["kind"].tolist(), refused["rule"].tolist()) == ([CommandKind.REJECTED], [STAGE_RULE])

    again = run.after(2)
    assert sorted(c["client_id"] for c in of(again, CommandKind.CANCEL)) == sorted(orders[2:])
    assert of(again, CommandKind.PLACE) == []
    for order, instrument in ((orders[2], desk.SPOT), (orders[3], desk.PLAIN), (orders[4], desk.PLAIN)):
        run.tell(order, ReportState.CANCELED, instrument, filled=400 if order == orders[2] else 0)
    assert run.kernel.stage == CANCEL
    run.books(490_000)
    ended = run.tell(orders[5], ReportState.CANCELED, desk.PLAIN)
    assert [s["stage"] for s in of(ended, CommandKind.STAGE)] == [FLATTEN]

    run.books(490_000)
    closing = of(ended + run.after(0), CommandKind.PLACE)
    # Two thousand and four hundred lots of strategies 1 and 0 were sold by hand above: what is left is closed.
    by_strategy = {c["strategy"]: c for c in closing}
    assert (by_strategy[0]["side"], by_strategy[0]["size"]) == (desk.SELL, 100_000 - 400)
    assert (by_strategy[1]["side"], by_strategy[1]["size"]) == (desk.BUY, 1_000)
    assert by_strategy[0]["time_in_force"] == by_strategy[1]["time_in_force"] == 1
    assert by_strategy[0]["price"] >= 490_000 * 98 // 100
    assert by_strategy[1]["price"] <= 490_001 * 102 // 100 + 1

    first = by_strategy[0]["client_id"]
    run.fill(first, desk.SELL, 490_000, 60_000, by_strategy[0]["instrument"])
    run.tell(first, ReportState.CANCELED, by_strategy[0]["instrument"], filled=60_000)
    run.tell(by_strategy[1]["client_id"], ReportState.REJECTED, by_strategy[1]["instrument"], reason=Reason.OTHER)
    run.books(490_000)
    assert of(run.after(0), CommandKind.PLACE) == [], "not before a second is over"
    run.now += S
    run.books(490_000)
    second = {c["strategy"]: c for c in of(run.after(0), CommandKind.PLACE)}
    assert (second[0]["size"], second[1]["size"]) == (39_600, 1_000)
    run.fill(second[0]["client_id"], desk.SELL, 490_000, 39_600, second[0]["instrument"])
    run.tell(second[0]["client_id"], ReportState.FILLED, second[0]["instrument"], filled=39_600)
    done = run.fill(second[1]["client_id"], desk.BUY, 490_001, 1_000, second[1]["instrument"])
    done += run.tell(second[1]["client_id"], ReportState.FILLED, second[1]["instrument"], filled=1_000)
    assert [s["stage"] for s in of(done + run.after(0), CommandKind.STAGE)] == [FREEZE]
    assert run.kernel.is_idle


def test_closing_that_is_refused_again_and_again_freezes() -> None:
    run = Run(losses={"drawdown": (100 * UNIT, FLATTEN)})
    bought(run)
    told = falls(run, 490_000) + run.after(0)
    heard, sent = list(told), 0
    for _ in range(5):
        for order in of(told, CommandKind.PLACE):
            sent += 1
            heard += run.tell(order["client_id"], ReportState.REJECTED, order["instrument"], reason=Reason.OTHER)
        run.now += S
        told = run.books(490_000) + run.after(0)
        heard += told
    assert (run.kernel.stage, sent) == (FREEZE, 3)
    stages = [(s["stage"], s["strategy"]) for s in of(heard, CommandKind.STAGE)]
    assert stages == [(CANCEL, 255), (FLATTEN, 255), (FREEZE, 0), (FREEZE, 255)]
    assert of(heard, CommandKind.STAGE)[-1]["rule"] == OVERDUE


@pytest.mark.parametrize("stage", [REDUCE, CANCEL, FREEZE])
def test_a_stage_outlives_a_restart_and_ends_by_an_operators_word_alone(stage: int) -> None:
    run = Run()
    reached = run.step(desk.record(EventKind.OPERATOR, run.now, aux=(GO_TO_STAGE, stage)))
    assert [s["stage"] for s in of(reached, CommandKind.STAGE)] == [stage]
    lower = run.step(desk.record(EventKind.OPERATOR, run.now, aux=(GO_TO_STAGE, REDUCE)))
    assert of(lower, CommandKind.STAGE) == []
    run.step(desk.record(EventKind.RESTART, run.now, aux=(1, 0)))
    run.after(3_600)
    run.books(500_000)
    assert run.kernel.stage == stage
    assert run.kernel.place(0, desk.SPOT, desk.BUY, 499_000, 1) is None
    run.kernel.take_commands()
    run.step(desk.record(EventKind.OPERATOR, run.now, aux=(RESUME, 0)))
    assert run.kernel.stage == 0
    assert run.kernel.place(0, desk.SPOT, desk.BUY, 499_000, 1) is not None


def test_an_operator_stops_and_resumes_one_strategy() -> None:
    run = Run()
    run.rest(0, desk.SPOT, desk.BUY, 490_000, 10)
    other = run.rest(1, desk.SPOT, desk.BUY, 490_000, 10)
    told = run.step(desk.record(EventKind.OPERATOR, run.now, price=2, aux=(GO_TO_STAGE, CANCEL)))
    assert [(s["stage"], s["strategy"]) for s in of(told, CommandKind.STAGE)] == [(CANCEL, 1)]
    assert [c["client_id"] for c in of(told, CommandKind.CANCEL)] == [other]
    assert run.kernel.stage == 0
    assert run.kernel.place(1, desk.SPOT, desk.BUY, 489_000, 1) is None
    assert run.kernel.place(0, desk.SPOT, desk.BUY, 489_000, 1) is not None
    run.kernel.take_commands()
    for nobody in (200, 2**62, -1):
        assert run.step(desk.record(EventKind.OPERATOR, run.now, price=nobody, aux=(GO_TO_STAGE, CANCEL))) == []
    run.step(desk.record(EventKind.OPERATOR, run.now, price=2, aux=(RESUME, 0)))
    assert run.kernel.place(1, desk.SPOT, desk.BUY, 489_000, 1) is not None


def test_the_run_may_go_on_without_a_strategy_that_is_stopped_for_itself() -> None:
    run = Run()
    run.step(desk.record(EventKind.OPERATOR, run.now, price=2, aux=(GO_TO_STAGE, CANCEL)))
    run.step(desk.record(EventKind.OPERATOR, run.now, aux=(GO_TO_STAGE, CANCEL)))
    told = run.step(desk.record(EventKind.OPERATOR, run.now, aux=(RESUME_RUN, 0)))
    assert [(s["stage"], s["strategy"]) for s in of(told, CommandKind.STAGE)] == [(0, 255)]
    assert run.kernel.stage == 0
    assert run.kernel.place(1, desk.SPOT, desk.BUY, 489_000, 1) is None
    assert run.kernel.place(0, desk.SPOT, desk.BUY, 489_000, 1) is not None
    assert of(run.step(desk.record(EventKind.OPERATOR, run.now, aux=(RESUME_RUN, 0))), CommandKind.STAGE) == []


def test_the_same_events_lead_to_the_same_stage_and_digest() -> None:
    def live() -> tuple[int, bytes]:
        run = Run(losses={"drawdown": (100 * UNIT, FLATTEN)})
        bought(run)
        run.rest(1, desk.SPOT, desk.SELL, 510_000, 10)
        falls(run, 490_000)
        run.after(40)
        return run.kernel.stage, run.kernel.digest()

    first = live()
    assert first[0] == FLATTEN, "the cancel never ended: flatten came by itself"
    assert first == live()


def test_a_throttled_order_is_told_with_the_time_it_has_to_wait_and_none_is_lost() -> None:
    run = Run(messages_per_second_max=5)
    sent, refused = [], []
    for number in range(200):
        run.kernel.step(desk.book(run.now, 500_000, 500_001))
        order = run.kernel.place(0, desk.SPOT, desk.BUY, 499_000 - number, 1)
        (command,) = desk.commands(run.kernel.take_commands())
        if order is None:
            assert (command["kind"], command["rule"]) == (CommandKind.REJECTED, THROTTLE)
            assert (command["price"], command["size"]) == (499_000 - number, 1)
            refused.append(run.now + int(command["aux"][0]))
        else:
            assert (command["kind"], command["client_id"]) == (CommandKind.PLACE, order)
            sent.append((run.now, order))
        run.now += S // 50
    assert len(sent) + len(refused) == 200
    # A bucket of five, and five a second for four seconds.
    assert 5 + 19 <= len(sent) <= 5 + 20
    # Each figure is the instant at which the next one went out, to a step.
    instants = [when for when, _ in sent]
    for promised in refused:
        assert any(promised <= when < promised + S // 50 for when in instants) or promised > instants[-1]
    # Cancels leave at once, all of them, from an empty bucket.
    for _, order in sent:
        run.kernel.cancel(order)
    assert desk.kinds(run.kernel.take_commands()) == [CommandKind.CANCEL] * len(sent)
    assert run.kernel.place(0, desk.SPOT, desk.BUY, 499_000, 1) is None
