"""The main job, end to end: real chain, real exchange, real keys; and the same after `kill -9`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from domain.events import PoolSnapshotted, SwapSettled
from engine.journal import read_journal
from runtime.processes import is_alive
from tests.cli.demo_run import ROOT, DemoRun, assert_books_are_true

pytestmark = [pytest.mark.demo, pytest.mark.anvil, pytest.mark.timeout(300)]


def test_demo_trades_settles_and_reports(tmp_path):
    run = DemoRun(tmp_path / "run")
    # Of the swaps, five are approvals.
    run.wait_for(lambda s: s["state"] == "trading" and s["fills"] > 20 and s["swaps"] > 6, timeout_s=120)
    result = run.stop()

    assert_books_are_true(result)
    assert result["fills"] > 20
    assert result["swaps"] > 6
    assert result["orders"]["sent"] >= result["orders"]["filled"] > 0
    assert result["risk"]["rejected"] == sum(result["risk"]["by_rule"].values())
    assert 0 < result["latency_us"]["tick_to_order"]["p50"] <= result["latency_us"]["tick_to_order"]["p99"]
    assert set(result["pnl"]["by_strategy"]) >= {"arb", "mm"}
    assert result["pnl"]["total"] == pytest.approx(sum(result["pnl"]["by_strategy"].values()), abs=0.01)
    report = (tmp_path / "run" / "report.html").read_text()
    assert report.count('class="plotly-graph-div"') == 4
    assert "<script src=" not in report  # Self-contained: opens without a network.

    # The journal alone gives the same figures, and the same decisions twice.
    first, second = (_capstan("replay", str(tmp_path / "run" / "journal.bin"), "--json") for _ in range(2))
    assert first == second
    assert (first["fills"], first["swaps"], first["pnl"]) == (result["fills"], result["swaps"], result["pnl"])
    backtest = _capstan("engine", "backtest", str(tmp_path / "run" / "journal.bin"), "--json")
    assert backtest["orders"]["sent"] > 0
    assert _pools_were_read_after_the_approvals(tmp_path / "run" / "journal.bin")
    verified = _capstan("ledger", "verify", "--data-dir", str(tmp_path / "run"), "--json")
    assert verified["sound"] is True
    assert verified["entries"] == result["ledger"]["entries"]


def test_engine_killed_at_several_points_ends_with_true_books(tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    run = DemoRun(tmp_path / "run", seed=seed)
    kill_points = (
        lambda s: s["state"] == "trading" and s["open_orders"] > 0,
        lambda s: s["state"] == "trading" and s["swaps_in_flight"] > 0,
        lambda s: s["state"] == "trading" and s["fills"] > 0,
    )
    for is_due in kill_points:
        run.wait_for(lambda s: s["state"] == "trading")
        try:
            run.wait_for(is_due, timeout_s=10)
        except AssertionError:
            if run.process.poll() is not None:
                raise
        run.kill_engine()
    run.wait_for(lambda s: s["state"] == "trading")
    result = run.stop()
    assert_books_are_true(result)
    assert result["restarts"] >= run.kills


def test_demo_killed_whole_resumes_on_the_same_data_directory(tmp_path):
    run = DemoRun(tmp_path / "run", seed=3)
    run.wait_for(lambda s: s["state"] == "trading" and s["orders_sent"] > 5)
    engine = int((tmp_path / "run" / "engine.pid").read_text())
    world = json.loads((tmp_path / "run" / "world.json").read_text())["pid"]
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    _wait_gone(engine)  # Bound to its parent, so it died as by `kill -9`.
    assert is_alive(world)
    (tmp_path / "run" / "status.json").unlink(missing_ok=True)

    result = DemoRun(tmp_path / "run", seconds=8, seed=3).result()

    assert_books_are_true(result)
    assert result["restarts"] == 1
    assert result["orders"]["sent"] > 5
    _wait_gone(world)


def test_kill_command_leaves_nothing_open(tmp_path):
    run = DemoRun(tmp_path / "run", seed=5)
    run.wait_for(lambda s: s["state"] == "trading" and s["orders_sent"] > 3)
    answer = _capstan("kill", "--data-dir", str(tmp_path / "run"), "--reason", "drill", "--json")
    assert answer["open_orders"] == 0
    assert answer["halted"] == "killed: drill"
    result = run.result()
    assert_books_are_true(result)
    assert result["halted"] == "killed: drill"


def test_finished_run_is_not_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--json", "--data-dir", str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "hint:" in done.stderr


def _pools_were_read_after_the_approvals(journal):
    """Read before, the first opportunity a strategy sees is one of some blocks ago."""
    _, events = read_journal(journal)
    recorded = list(events)
    approved = [event.block_number for event in recorded if isinstance(event, SwapSettled)][:5]
    first_read = next(event.block_number for event in recorded if isinstance(event, PoolSnapshotted))
    return first_read >= max(approved)


def _capstan(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def _wait_gone(pid, timeout_s=60):
    import time

    deadline = time.monotonic() + timeout_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid), f"process {pid} is still there"
