"""Costs by kind, fill quality, round trips, saved runs, the page and the pictures, runs compared."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cli.main import main
from domain import InputError
from engine.backtest.compare import comparison
from engine.backtest.config import load_config
from engine.backtest.costs import costs_of, judge
from engine.backtest.data import load_events
from engine.backtest.images import write_images
from engine.backtest.looks import HORIZONS_S, LOOK, looks_at
from engine.backtest.money import capital, fees_paid, gross_result, mark_end
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from engine.backtest.saved import load_run, save_run
from engine.backtest.tear_sheet import write_tear_sheet, write_trades
from engine.backtest.trips import trips_of
from engine.records import COMMAND, EVENT, CommandKind, EventFlag, EventKind
from engine.sdk import Signal

EXAMPLES = Path(__file__).parents[3] / "examples" / "backtest"


@pytest.fixture(scope="module")
def made():
    config = load_config(EXAMPLES / "synthetic.toml")
    data = config.data[0].model_copy(update={"seconds": 60.0})
    config = config.model_copy(update={"data": (data,)})
    events = load_events(config, EXAMPLES)
    return run_backtest(config, events, EXAMPLES), events


@pytest.fixture(scope="module")
def run(made):
    return made[0]


def fills(*rows):
    """Fills of instrument 0: seconds, side, price in ticks, lots, fee in 1e-8 of quote."""
    made = np.zeros(len(rows), EVENT)
    for at, (second, side, price, lots, fee) in enumerate(rows):
        made[at]["time_exchange_ns"] = made[at]["time_local_ns"] = second * 10**9
        made[at]["kind"], made[at]["side"], made[at]["price"], made[at]["size"] = EventKind.FILL, side, price, lots
        made[at]["sequence"], made[at]["aux"] = at, (at + 1, fee)
    return made


def with_fills(run, *rows, looks=None):
    some = fills(*rows)
    return replace(run, fills=some, looks=np.zeros(len(some), LOOK) if looks is None else looks)


# --- costs


def test_costs_lead_from_the_mid_to_the_net_result_exactly(run):
    costs = costs_of(run)
    assert len(run.fills) > 300
    assert costs.paper - costs.spread - costs.slippage == pytest.approx(costs.gross, abs=1e-9)
    rest = costs.gross - costs.fees + costs.funding + costs.swaps - costs.gas
    assert rest == pytest.approx(costs.net, abs=1e-9)
    assert costs.gross == pytest.approx(gross_result(run, 0))
    assert costs.fees == pytest.approx(fees_paid(run, 0))
    assert costs.spread < 0.0  # Nearly all of it makes: the spread is earned.


def test_taker_pays_half_the_spread_it_saw_and_slips_by_the_rest(run):
    # Bought 10 lots of 0.001 at 1005 ticks of 0.1; saw 1000/1002; the mid in the venue was 1003.
    looks = np.array([(0, 1000, 1002, 1002, 1004, (2010, 0, 0))], LOOK)
    taken = judge(with_fills(run, (1, 0, 1005, 10, 0), looks=looks), 0)
    assert taken.spread.tolist() == pytest.approx([0.1 * 0.01])
    assert taken.slippage.tolist() == pytest.approx([0.3 * 0.01])
    assert taken.effective_bps.tolist() == pytest.approx([2e4 * 2 / 1003])
    assert taken.after_bps[0, 0] == pytest.approx(0.0)
    assert np.isnan(taken.after_bps[0, 1:]).all()
    assert taken.waited_s.tolist() == [1.0]


def test_maker_earns_the_distance_to_the_mid_and_pays_what_moved_before(run):
    # Sold 10 lots at 1002; quoted at a mid of 999, traded at a mid of 1001: earned 1 tick, lost 2 to the move.
    looks = np.array([(0, 998, 1000, 1000, 1002, (2000, 2000, 2000))], LOOK)
    made = with_fills(run, (1, 1, 1002, 10, 0), looks=looks)
    made.fills["flags"] = EventFlag.MAKER
    taken = judge(made, 0)
    assert taken.spread.tolist() == pytest.approx([-0.1 * 0.01])
    assert taken.slippage.tolist() == pytest.approx([-0.2 * 0.01])
    assert taken.after_bps[0].tolist() == pytest.approx([1e4 * 2 / 1002] * 3)


def test_fill_without_a_book_costs_nothing_here(run):
    taken = judge(with_fills(run, (1, 0, 1005, 10, 0)), 0)
    assert taken.spread.tolist() == taken.slippage.tolist() == [0.0]


def test_looks_are_the_book_before_decision_and_trade():
    def level(second, side, price, size, *, more=0, kind=EventKind.LEVEL):
        flags = EventFlag.EXCHANGE | EventFlag.LOCAL | (more or EventFlag.LAST)
        return (second * 10**9, second * 10**9 + 1000, 0, kind, side, flags, price, size, 0, (0, 0))

    part = EventFlag.SNAPSHOT
    told = [
        level(1, 255, 0, 0, more=part, kind=EventKind.CLEAR),
        level(1, 0, 99, 5, more=part),
        level(1, 1, 101, 5, more=part | EventFlag.LAST),
        level(3, 1, 101, 0),
        level(3, 1, 103, 5),
        level(15, 0, 100, 1),
    ]
    events = np.array(told, EVENT)
    # Decided at 2 s, amended at 4 s, filled at 5 s; the other was decided and filled before there was a book.
    commands = np.zeros(3, COMMAND)
    commands["client_id"] = (1, 1, 2)
    commands["kind"] = (CommandKind.PLACE, CommandKind.AMEND, CommandKind.PLACE)
    commands["time_ns"] = (2 * 10**9, 4 * 10**9, 0)
    some = fills((5, 0, 103, 1, 0), (1, 0, 101, 1, 0))
    first, second = looks_at(events, some, commands)
    assert first["decided_ns"] == 4 * 10**9
    assert (first["decided_bid"], first["decided_ask"], first["bid"], first["ask"]) == (99, 103, 99, 103)
    assert HORIZONS_S == (1, 10, 60)
    assert first["mids_after"].tolist() == [202, 203, 0]  # At 6 s, at 15 s with the new bid, beyond the end.
    assert (second["decided_bid"], second["ask"]) == (0, 0)
    before = looks_at(events, some[:1], commands[:1])[0]
    assert (before["decided_ns"], before["decided_ask"]) == (2 * 10**9, 101)


# --- round trips


def test_round_trips_match_the_oldest_lots_and_split_fees(run):
    made = with_fills(run, (1, 0, 1000, 10, 1000), (2, 0, 1010, 10, 2000), (3, 1, 1020, 15, 3000), (4, 1, 1000, 15, 0))
    trips = trips_of(made)
    assert [(t.side, round(t.size, 6), t.entry, t.exit) for t in trips] == [
        ("long", 0.01, 100.0, 102.0),
        ("long", 0.005, 101.0, 102.0),
        ("long", 0.005, 101.0, 100.0),
    ]
    assert [t.result for t in trips] == pytest.approx([0.02, 0.005, -0.005])
    assert trips[0].fees == pytest.approx((1000 + 2000) * 1e-8)  # All of the first fee, two thirds of the third's.
    assert trips[0].net == trips[0].result - trips[0].fees


def test_round_trips_and_what_is_open_are_the_gross_result(run):
    closed = sum(trip.result for trip in trips_of(run))
    # What is open, by the same matching: the last fills on its side, down to the position.
    signs = np.where(run.fills["side"] == 0, 1, -1)
    position = int((signs * run.fills["size"]).sum())
    left, value = abs(position), 0.0
    for fill in run.fills[signs == np.sign(position)][::-1]:
        lots = min(left, int(fill["size"]))
        value += lots * float(fill["price"]) * 0.1
        left -= lots
    unrealised = np.sign(position) * (abs(position) * mark_end(run, 0) - value) * 0.001
    assert closed + unrealised == pytest.approx(gross_result(run, 0), abs=1e-6)


def test_capital_is_what_was_held_at_the_first_prices(run):
    assert capital(run) == 100_000
    both = run.config.model_copy(update={"capital": {"sim/USDT": Decimal(5), "sim/BTC": Decimal(2)}})
    first = run.samples[run.samples[:, -1] > 0][0, -1] / 2 * 0.1
    assert capital(replace(run, config=both)) == pytest.approx(5 + 2 * first)


# --- saved runs, the page, the pictures


def test_saved_run_is_read_back_whole(run, tmp_path):
    said = Signal(time_ns=1, strategy="s", name="n", value=0.5, inputs={"x": 1})
    run = replace(run, signals=(said,))
    result = result_of(run)
    save_run(tmp_path, run, result)
    found = load_run(tmp_path)
    assert found.signals == (said,)
    assert result_of(found) == result
    assert found.config == run.config
    assert (found.commands == run.commands).all()
    assert found.balances == run.balances


@pytest.mark.parametrize("damage", ["missing", "other", "torn"])
def test_saved_run_that_is_not_whole_is_refused(run, tmp_path, damage):
    save_run(tmp_path, run, {})
    if damage == "missing":
        (tmp_path / "looks.npy").unlink()
    elif damage == "other":
        np.save(tmp_path / "looks.npy", np.zeros(3))
    else:
        (tmp_path / "run.json").write_bytes((tmp_path / "run.json").read_bytes()[:-20])
    with pytest.raises(InputError):
        load_run(tmp_path)


def test_page_needs_no_network_and_names_costs_trades_and_ratios(run, tmp_path):
    write_tear_sheet(tmp_path / "t.html", run, result_of(run))
    page = (tmp_path / "t.html").read_text()
    # Everything a browser would fetch: none. (The drawing library has addresses in its own text.)
    head = page[: page.index("<h2>")] + page[page.rindex("</script>") :]
    assert "src=" not in head
    assert "<script src" not in page
    assert "<link" not in page
    for words in ("Costs by kind", "slippage", "Fill quality", "Round trips", "Sortino", "capacity scale best"):
        assert words in page
    write_trades(tmp_path / "t.csv", run)
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert rows[0].startswith("instrument,side,opened_ns")
    assert len(rows) == len(trips_of(run)) + 1


def test_pictures_are_small_and_show_something(run, tmp_path):
    from PIL import Image

    written = write_images(tmp_path, run)
    assert {path.name for path in written} >= {"tear_sheet.png", "equity.png", "costs.png"}
    assert (tmp_path / "tear_sheet.png").stat().st_size < 60_000
    for path in written:
        assert len(Image.open(path).getcolors(1_000_000)) > 8


def test_run_without_a_trade_has_a_page_too(run, tmp_path):
    idle = with_fills(run)
    result = result_of(idle)
    assert result["fill_quality"] == {}
    write_tear_sheet(tmp_path / "t.html", idle, result)
    assert "None was closed" in (tmp_path / "t.html").read_text()
    write_images(tmp_path, idle)


def longer(run, factor, seed):
    """The run with a curve of 100 days: a known drift and noise."""
    samples = run.samples.copy()
    samples[:, 0] = np.linspace(0, 100 * 86_400 * 10**9, len(samples)).astype(np.int64)
    noise = np.random.default_rng(seed).normal(factor, 1.0, len(samples)).cumsum()
    samples[:, 1] = (noise * 1e8).astype(np.int64)
    return replace(run, samples=samples, began_ns=0, ended_ns=100 * 86_400 * 10**9)


def test_comparison_tells_skill_from_chance(run):
    found = comparison(["a", "b", "c"], [longer(run, 0.0, 1), longer(run, 0.0, 2), longer(run, 0.5, 3)])
    assert [row.get("difference", {}).get("is_chance") for row in found["runs"]] == [None, True, False]
    assert found["runs"][2]["difference"]["low"] > 0
    assert found["runs"][2]["ratios"]["sharpe"] > 5


def test_runs_in_different_assets_are_not_compared(run):
    other = replace(run, config=run.config.model_copy(update={"account": "EUR"}))
    with pytest.raises(InputError, match="EUR and USDT"):
        comparison(["a", "b"], [run, other])
    with pytest.raises(InputError, match="two or more"):
        comparison(["a"], [run])


def test_command_line_reports_and_compares(run, tmp_path, capsys):
    for name in ("a", "b"):
        save_run(tmp_path / name, run, result_of(run))
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "report", str(tmp_path / "a"), "--trials", "20", "--json"])
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)
    assert all(Path(path).is_file() for path in made["written"])
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--save", str(tmp_path / "c"), "--json"])
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)
    assert made["runs"][1]["difference"]["net"] == 0.0
    assert (tmp_path / "c" / "compare.html").is_file()
