"""`capstan transactions`: what custody is sending, and an operator's word about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing

if TYPE_CHECKING:
    from custody.transactions.operations import Operations

app = typer.Typer(no_args_is_help=True, help="Transactions on their way: list, follow, cancel, hold, speed up.")
IdArgument = Annotated[str, typer.Argument(help="The intent's id.")]
ByOption = Annotated[str, typer.Option(help="Who asks; written into the audit log.")]


@app.command("list")
def list_transactions(
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    with_all: Annotated[bool, typer.Option("--all", help="Also those that are at their end.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List transactions with their states."""
    found = _open(data_dir, database).transactions(with_final=with_all, limit=limit)
    if as_json:
        output.emit([{name: getattr(line, name) for name in line.__dataclass_fields__} for line in found])
        return
    for line in found:
        state = f"{line.state} ({line.wish})" if line.wish else line.state
        nonce = "" if line.nonce is None else str(line.nonce)
        typer.echo(f"{line.intent_id:40} {line.purpose:10} {state:28} {nonce:>6} {line.tx_hash or ''}")


@app.command()
def show(
    intent_id: IdArgument,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every step a transaction took."""
    events = _open(data_dir, database).events(intent_id)
    if as_json:
        output.emit(
            [
                {"time_ns": e.time_ns, "step": e.step, "state": e.state, "detail": json.loads(e.detail or "{}")}
                for e in events
            ]
        )
        return
    for event in events:
        when = datetime.fromtimestamp(event.time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"{when}  {event.step:16} {event.state:18} {event.detail}")


@app.command()
def cancel(
    intent_id: IdArgument,
    by: ByOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask that it shall not happen. Once signed, a transaction of nothing races it: whichever is mined is told."""
    _ask(intent_id, "cancel", by, data_dir, database, as_json=as_json)


@app.command()
def hold(
    intent_id: IdArgument,
    by: ByOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop it until it is released; only while nothing is signed."""
    _ask(intent_id, "hold", by, data_dir, database, as_json=as_json)


@app.command()
def release(
    intent_id: IdArgument,
    by: ByOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a held one begin again."""
    _ask(intent_id, "release", by, data_dir, database, as_json=as_json)


@app.command("speed-up")
def speed_up(
    intent_id: IdArgument,
    by: ByOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for higher fees, within policy's caps."""
    _ask(intent_id, "speed-up", by, data_dir, database, as_json=as_json)


def _ask(intent_id: str, wish: str, by: str, data_dir: Path | None, database: str | None, *, as_json: bool) -> None:
    from custody.transactions.records import Wish

    _open(data_dir, database).ask(intent_id, Wish(wish), by=by)
    if as_json:
        output.emit({"asked": wish, "intent_id": intent_id})
        return
    output.say(f"asked: {wish} {intent_id}; the desk obeys when it next looks")


def _open(data_dir: Path | None, url: str | None) -> Operations:
    from custody.transactions.operations import Operations
    from runtime import SystemClock

    return Operations(open_existing(data_dir, url), SystemClock().now_ns)
