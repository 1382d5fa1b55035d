"""Parent orders on a synthetic market: whole, within the stated bounds of their schedule, and reported as they were."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from domain import InputError
from engine.execution import Saved
from engine.records import CommandKind, EventKind
from engine.strategies.execute import Execute, ExecuteSettings
from tests.engine.execution.runs import INSTRUMENT, events_of, run

TWAP = {"name": "twap", "duration_s": 40, "every_s": 5}
SCHEDULED = {
    "twap": TWAP,
    "twap-cross": {**TWAP, "style": "cross"},
    "vwap": {**TWAP, "name": "vwap", "curve": [3, 1, 1, 2]},
    "shortfall": {**TWAP, "name": "shortfall", "risk_aversion": "1e-4", "volatility": "2", "impact": "0.1"},
}
POV = {"name": "pov", "duration_s": 50, "every_s": 2, "share": "0.05"}
ICEBERG = {"name": "iceberg", "show": "0.05"}


def execute(algorithm, **changes):
    return {"kind": "execute", "side": "buy", "qty": "2", "algorithm": algorithm, **changes}


def done_by(finished):
    """When what was filled, as a function of time: independent of what the strategy counted."""
    times, lots = finished.fills["time_local_ns"], np.cumsum(finished.fills["size"])
    return lambda at: int(lots[np.searchsorted(times, at, side="right") - 1]) if (times <= at).any() else 0


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("algorithm", SCHEDULED.values(), ids=SCHEDULED)
def test_a_schedule_is_kept_within_a_slice_at_every_instant(algorithm, side):
    finished = run(execute(algorithm, side=side))
    [strategy] = finished.strategies
    order, schedule = strategy.order, strategy.order.schedule
    assert order.done == order.total == 2_000
    done, most = done_by(finished), order.slice_max()
    times = np.arange(order.begun_ns, order.begun_ns + schedule.duration_ns, 100_000_000).tolist()
    times += finished.fills["time_local_ns"].tolist()
    deviations = [done(at) - schedule.by(2_000, at - order.begun_ns) for at in times]
    assert max(map(abs, deviations)) <= most
    # The bound says something: a slice is a small part of the whole.
    assert most < 2_000 * (0.4 if algorithm["name"] == "shortfall" else 0.25)
    assert (order.tally.ahead, order.tally.behind) >= (max(deviations), 0)
    # It was worked in parts, and on time.
    assert len(finished.fills) > 8
    assert order.ended_ns <= order.begun_ns + schedule.duration_ns


@pytest.mark.parametrize("share", ["0.02", "0.05"])
def test_participation_stays_with_the_market(share):
    finished = run(execute({**POV, "share": share}, qty="100"))
    [strategy] = finished.strategies
    order, events = strategy.order, events_of()
    trades = events[(events["kind"] == EventKind.TRADE) & (events["time_local_ns"] >= order.begun_ns)]
    volume = np.cumsum(trades["size"])
    done = done_by(finished)
    for at in np.arange(order.begun_ns + 2 * 10**9, order.begun_ns + 50 * 10**9, 500_000_000).tolist():
        traded = int(volume[np.searchsorted(trades["time_local_ns"], at, side="right") - 1])
        deviation = done(at) - int(float(share) * traded)
        assert deviation <= 0, "ahead of what has traded"
        assert -deviation <= 2 * order.slice_max()
    assert 0 < order.done < order.total
    report = strategy.report(finished.ended_ns)
    assert report.participation == pytest.approx(float(share), rel=0.1)
    assert report.unfilled_bps is not None


def test_an_iceberg_shows_no_more_than_its_part_and_rests():
    finished = run(execute(ICEBERG))
    placed = finished.commands[finished.commands["kind"] == CommandKind.PLACE]
    assert placed["size"].max() == 50
    assert set(placed["order_type"].tolist()) == {1}
    [strategy] = finished.strategies
    assert strategy.order.done == 2_000
    assert strategy.report(0).maker_share == 1.0


def test_an_iceberg_at_its_limit_waits_there():
    finished = run(execute({**ICEBERG, "follow": False, "duration_s": 30}, limit="29999.0"))
    placed = finished.commands[finished.commands["kind"] == CommandKind.PLACE]
    assert set(placed["price"].tolist()) == {299_990}
    assert finished.strategies[0].order.is_done


def test_a_limit_is_never_crossed_and_the_rest_is_reported_as_undone():
    finished = run(execute(TWAP, limit="29999.7", qty="100"))
    assert len(finished.fills)
    assert (finished.fills["price"] <= 299_997).all()
    [strategy] = finished.strategies
    report = strategy.report(finished.ended_ns)
    assert report.filled < report.qty
    expected = (report.qty - report.filled) / report.qty * (strategy.order.tally.mid / 20 - report.price_arrival)
    assert report.unfilled_bps == pytest.approx(expected / report.price_arrival * 1e4)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_report_is_what_fills_and_feed_say(side):
    finished, events = run(execute(TWAP, side=side)), events_of()
    [strategy] = finished.strategies
    order, report, fills = strategy.order, strategy.report(finished.ended_ns), finished.fills
    average = float((fills["price"] * fills["size"]).sum() / fills["size"].sum()) / 10
    assert report.price_average == pytest.approx(average)
    local = events["time_local_ns"]
    trades = events[(events["kind"] == EventKind.TRADE) & (local >= order.begun_ns) & (local <= order.ended_ns)]
    vwap = float((trades["price"] * trades["size"]).sum() / trades["size"].sum()) / 10
    assert report.price_vwap == pytest.approx(vwap, rel=1e-6)
    assert report.price_arrival == pytest.approx(30_000.0)  # The synthetic market begins there.
    sign = 1 if side == "buy" else -1
    assert report.shortfall_bps == pytest.approx(sign * (average - 30_000) / 30_000 * 1e4)
    fees = fills["aux"][:, 1].sum() / 1e8
    assert report.fees_bps == pytest.approx(fees / (average * 2) * 1e4, rel=1e-6)
    assert report.shortfall_total_bps == pytest.approx(report.shortfall_bps + fees / 60_000 * 1e4)


def test_children_have_bounds_and_leave_no_dust():
    finished = run(execute({**TWAP, "style": "cross"}, child_min="0.3", child_max="0.5", qty="1.7"))
    placed = finished.commands[finished.commands["kind"] == CommandKind.PLACE]
    assert finished.strategies[0].order.done == 1_700
    assert placed["size"].min() >= 300
    assert placed["size"].max() <= 500 + 300


def test_least_value_of_the_venue_bounds_children():
    finished = run(execute({**TWAP, "every_s": 2}, qty="0.003"))
    placed = finished.commands[finished.commands["kind"] == CommandKind.PLACE]
    assert finished.strategies[0].order.done == 3
    assert (placed["price"] * placed["size"] * 1e-4).min() >= 5


def test_a_late_start_begins_late():
    finished = run(execute(TWAP, start_s=15))
    began = finished.began_ns + 15 * 10**9
    assert finished.commands["time_ns"][finished.commands["kind"] == CommandKind.PLACE].min() >= began
    assert finished.strategies[0].order.done == 2_000


def test_what_the_gate_refuses_is_tried_again_and_less_often():
    finished = run(execute(TWAP), order_notional_max=100)
    rejected = finished.commands[finished.commands["kind"] == CommandKind.REJECTED]
    assert len(finished.fills) == 0
    assert 5 <= len(rejected) <= 20
    assert np.diff(rejected["time_ns"]).max() >= 7 * 10**9


def test_nothing_is_in_the_book_after_the_end():
    finished = run(execute(TWAP))
    ended = finished.strategies[0].order.ended_ns
    kinds = finished.commands["kind"]
    assert not ((finished.commands["time_ns"] > ended) & (kinds == CommandKind.PLACE)).any()
    placed = set(finished.commands["client_id"][kinds == CommandKind.PLACE].tolist())
    filled = {int(row[0]) for row in finished.fills["aux"]}
    cancelled = set(finished.commands["client_id"][kinds == CommandKind.CANCEL].tolist())
    assert placed <= filled | cancelled


@pytest.mark.parametrize("algorithm", [*SCHEDULED.values(), POV, ICEBERG], ids=[*SCHEDULED, "pov", "iceberg"])
def test_a_strategys_state_is_all_it_knows(algorithm):
    [strategy] = run(execute(algorithm), seconds=20).strategies
    twin = Execute(strategy.settings)
    twin.restore(strategy.state())
    assert twin.state() == strategy.state()
    assert vars_of(twin.order) == vars_of(strategy.order)


def vars_of(part):
    """Every attribute, parts inside: a forgotten one in `saved` shows."""
    fixed = {"schedule", "pace"}
    return {
        name: vars_of(value) if isinstance(value, Saved) else value
        for name, value in vars(part).items()
        if name not in fixed
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"algorithm": {**TWAP, "every_s": 50}}, "every_s"),
        ({"algorithm": {**TWAP, "lead_ms": 5_000}}, "lead_ms"),
        ({"algorithm": {**TWAP, "name": "vwap", "curve": [0, 0]}}, "curve"),
        ({"algorithm": {**ICEBERG, "follow": False}}, "limit"),
        ({"child_min": 2, "child_max": 1}, "child_max"),
        ({"side": "long"}, "side"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        ExecuteSettings.model_validate({"instrument": INSTRUMENT, **execute(TWAP), **changes})


def test_less_than_a_lot_is_refused():
    with pytest.raises(InputError, match="less than a lot"):
        run(execute(TWAP, qty="0.0001"), seconds=5)
