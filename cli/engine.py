"""`capstan engine`: run the trading engine of an installation, trade the market of its journal again."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.data_dir import DataDir

app = typer.Typer(no_args_is_help=True, help="The trading engine.")

DataDirOption = Annotated[Path, typer.Option(help="The installation: settings, keystore, journal, books.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


@app.command()
def run(
    data_dir: DataDirOption = Path(),
    await_settings: Annotated[
        float, typer.Option(hidden=True, help="Seconds to wait for capstan.toml: somebody is writing it.")
    ] = 0.0,
) -> None:
    """Trade until SIGTERM, then withdraw, settle, compare the books and exit.

    Reads DATA_DIR/capstan.toml. In mode "paper" (the default) nothing is sent anywhere. Started again after a crash
    it recovers from its journal and asks venues and chain what became of what was in flight.
    """
    from cli.settings import load_settings

    data = DataDir(data_dir.resolve())
    if not await_settings:
        load_settings(data.settings)  # What is wrong in them is said before a second of imports.

    import uvloop

    from cli.engine_process import run_engine

    # The loop that trades shares the interpreter with database threads: let it have its turn back sooner than after
    # the default 5 ms. With uvloop, market bytes to order dispatch went from 2.2 to 1.7 ms p50 on the busy demo box.
    sys.setswitchinterval(0.000_2)
    if await_settings and not data.settings.exists():
        _use_the_wait(data, await_settings)
    uvloop.run(run_engine(data))


def _use_the_wait(data: DataDir, seconds: float) -> None:
    """Wait, with everything imported, until the settings are there; if they do not come, loading them says so."""
    deadline = time.monotonic() + seconds
    while not data.settings.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@app.command()
def status(data_dir: DataDirOption = Path(), as_json: JsonOption = False) -> None:
    """Show what a running engine does."""
    from rich.console import Console

    from cli.demo.view import render_status
    from runtime.control import ask_control

    answer = asyncio.run(ask_control(DataDir(data_dir.resolve()).control, {"command": "status"}))
    if as_json:
        output.emit(answer)
    else:
        Console().print(render_status(answer, seconds_left=None, restarts=0))


@app.command()
def resume(data_dir: DataDirOption = Path(), as_json: JsonOption = False) -> None:
    """Let the strategies trade again after a kill or a drawdown stop. Restarting the engine does not."""
    from runtime.control import ask_control

    answer = asyncio.run(ask_control(DataDir(data_dir.resolve()).control, {"command": "resume"}))
    output.emit(answer) if as_json else output.say("resumed")


@app.command()
def reload(
    strategy: Annotated[str, typer.Argument(help="Its id.")],
    changes: Annotated[
        list[str], typer.Argument(help="KEY=VALUE, or a TOML, YAML or JSON file with keys or with the strategy.")
    ],
    data_dir: DataDirOption = Path(),
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change parameters of a running strategy, between two events, without a restart.

    The whole is checked first; keys that are fixed while it runs are named and nothing changes. What changes is in the
    journal, so that a replay and a restart have it, and in the audit log. The settings file stays as it is: write it
    there too, for the next run.
    """
    import getpass

    from runtime.control import ask_control

    request = {
        "command": "reload",
        "strategy": strategy,
        "changes": read_changes(strategy, changes),
        "reason": reason,
        "by": getpass.getuser(),
        "dry_run": dry_run,
    }
    answer = asyncio.run(ask_control(DataDir(data_dir.resolve()).control, request))
    if as_json:
        output.emit(answer)
        return
    for key, (before, after) in answer["changed"].items():
        output.say(f"{key}: {before} -> {after}")
    output.say("changed" if answer["applied"] else "nothing changed" if answer["changed"] else "nothing would change")


def read_changes(strategy: str, given: list[str]) -> dict[str, Any]:
    """Read changes as they stand on the command line, later ones over earlier ones.

    Raises:
        InputError: Neither KEY=VALUE nor a file, or a file with several strategies and none of this id.
    """
    from domain import InputError
    from engine.strategies.files import read_table, strategy_tables

    changes: dict[str, Any] = {}
    for item in given:
        key, is_pair, value = item.partition("=")
        if is_pair and not Path(item).exists():
            changes[key.strip()] = _value(value.strip())
            continue
        data = read_table(Path(item))
        tables = strategy_tables(data)
        if tables is None or "kind" in data:
            changes |= data
            continue
        ours = [table for table in tables if table.get("id") == strategy]
        if len(ours) != 1:
            raise InputError(f"{item}: no strategy with the id {strategy}")
        changes |= ours[0]
    return changes


def _value(text: str) -> Any:
    """A value as YAML writes it; a number with a point stays text, so that it is taken as it was written."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, float) else value


@app.command()
def backtest(
    journal: Annotated[Path, typer.Argument(help="journal.bin of a run.")], as_json: JsonOption = False
) -> None:
    """Trade the market data of a journal again, with simulated execution."""
    from engine.journal import read_journal
    from engine.replay import backtest as run_backtest
    from engine.reporting import summarize, to_json
    from engine.setup import RunConfig, build_kernel

    header, events = read_journal(journal)
    config = RunConfig.from_header(header)
    folder = journal.resolve().parent
    given = list(run_backtest(build_kernel(config, folder), events))
    output.table({"run": config.run, **to_json(summarize(build_kernel(config, folder), given))}, as_json=as_json)
