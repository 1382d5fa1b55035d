"""`capstan backtest`: a run of the examples, JSON alone on standard output, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.backtest import ProgressLine
from cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "backtest"


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["backtest", *map(str, arguments)])
    return ended.value.code


def test_example_without_recordings_runs_and_saves(tmp_path, capsys):
    assert run("run", EXAMPLES / "synthetic.toml", "--json", "--save", tmp_path / "out") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["fills"] > 100
    assert set(result["pnl"]["by_strategy"]) == {"plain", "momentum"}
    saved = {path.name for path in (tmp_path / "out").iterdir()}
    assert saved >= {"result.json", "run.json", "fills.npy", "commands.npy", "tear_sheet.html", "trades.csv"}
    assert json.loads((tmp_path / "out" / "result.json").read_text())["sha256"] == result["sha256"]


def test_example_with_a_pool_runs_and_saves(tmp_path, capsys):
    assert run("run", EXAMPLES / "pool.toml", "--json", "--save", tmp_path / "out") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["swaps"]["mined"] > 10
    assert "Backtest cross-venue arbitrage" in (tmp_path / "out" / "tear_sheet.html").read_text()


def test_table_is_for_people(capsys):
    assert run("run", EXAMPLES / "synthetic.toml") == 0
    assert "pnl: net" in capsys.readouterr().out


def test_market_is_made_into_a_store(tmp_path, capsys):
    assert run("synthesize", tmp_path / "m.store", "--seconds", "5", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["events"] > 500
    assert (tmp_path / "m.store").stat().st_size > made["events"] * 64


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("behind_ticks", "behind_tick", "unknown key 'behind_tick'", "did you mean behind_ticks?"),
        ('queue = "power1"', 'queue = "power9"', "simulator.queue", ""),
        ("momentum:Momentum", "momentum:Nothing", "no subclass of engine.sdk.Strategy", ""),
        ('"sim/USDT"', '"sim/ETH"', "capital.sim/ETH: no such holding", "sim/USDT"),
    ],
)
def test_wrong_file_is_one_line_and_a_hint(tmp_path, capsys, old, new, message, hint):
    text = (EXAMPLES / "synthetic.toml").read_text()
    assert old in text
    (tmp_path / "momentum.py").write_text((EXAMPLES / "momentum.py").read_text())
    (tmp_path / "run.toml").write_text(text.replace(old, new, 1))
    assert run("run", tmp_path / "run.toml") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert message in lines[0]
    assert len(lines) <= 2
    assert hint in "".join(lines[1:])


def test_progress_is_silent_for_two_seconds_then_says_when_it_ends(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("cli.backtest.time.monotonic", lambda: now[0])
    line = ProgressLine()
    for second, done in ((0, 0), (1, 10), (4, 25)):
        now[0] = 100.0 + second
        line("running", done, 100)
    assert capsys.readouterr().err == "running:  25%, 4 s, about 12 s left\n"
