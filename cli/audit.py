"""`capstan audit`: the audit log and its signed checkpoints."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing
from domain import InputError

if TYPE_CHECKING:
    from custody.audit import AuditRow, Exporter

app = typer.Typer(no_args_is_help=True, help="The hash-chained audit log and its signed checkpoints.")


@app.command()
def verify(
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    checkpoints: Annotated[Path | None, typer.Option(help="Folder of checkpoints kept off this host.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Count only signatures of this key: ed25519:… or eip191:0x…; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find any record that was edited, deleted, moved, put in or cut off, and say which is the first.

    Without --checkpoints nobody can tell whether the end of the log is missing; without --key, whether the checkpoints
    are by whom you think. Exits with 1 when something is wrong.
    """
    from custody.audit import read_checkpoints, verify_audit

    exported = [] if checkpoints is None else read_checkpoints(checkpoints)
    found = verify_audit(open_existing(data_dir, database), exported=exported, trusted=key or ())
    if as_json:
        output.emit(
            {
                "sound": found.is_sound,
                "records": found.records,
                "checkpoints": found.checkpoints,
                "covered": found.covered,
                "keys": found.keys,
                "first_bad": found.first_bad,
                "problems": found.problems,
            }
        )
    else:
        for problem in found.problems:
            typer.echo(problem)
        state = "sound" if found.is_sound else f"first bad record: {found.first_bad or 'none, see above'}"
        typer.echo(f"{found.records} records, {found.covered} under {found.checkpoints} checkpoints: {state}")
        for name in found.keys:
            typer.echo(f"signed by {name}")
    if not found.is_sound:
        raise typer.Exit(1)


@app.command("list")
def list_records(
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    kind: Annotated[
        str, typer.Option(help="Only this kind (freeze.imposed), or all that begin with it (freeze.).")
    ] = "",
    subject: Annotated[str, typer.Option(help="Only what happened to this (transaction/i-1).")] = "",
    after: Annotated[int, typer.Option(min=0, help="Only records behind this sequence number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """List what was recorded."""
    from custody.audit import list_audit

    with open_existing(data_dir, database).snapshot() as session:
        for row in list_audit(session, kind=kind, subject=subject, after=after, limit=limit):
            if as_json:
                output.emit({name: getattr(row, name) for name in ("sequence", "time_ns", "kind", "subject", "detail")})
            else:
                typer.echo(_line(row))


@app.command()
def checkpoint(
    key_ref: Annotated[str, typer.Option(help="Where the signing key is: file:PATH or env:NAME.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    directory: Annotated[list[Path] | None, typer.Option(help="Write checkpoints here too; repeatable.")] = None,
    command: Annotated[
        list[str] | None, typer.Option(help="Run this with each checkpoint on its standard input; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign how far the log has come, and send every checkpoint where it has not been sent yet."""
    from custody.audit import CheckpointKeeper, CommandExporter, DirectoryExporter, Ed25519CheckpointSigner
    from runtime import SystemClock
    from runtime.secrets import resolve_secret

    signer = Ed25519CheckpointSigner(resolve_secret(key_ref))
    exporters: list[Exporter] = [*map(DirectoryExporter, directory or ())]
    exporters += map(CommandExporter, command or ())
    keeper = CheckpointKeeper(open_existing(data_dir, database), signer, SystemClock().now_ns, exporters)
    made = keeper.run()
    if as_json:
        output.emit({"count": made and made.count, "root": made and made.root, "key": signer.key})
    else:
        output.say("nothing new to sign" if made is None else f"signed {made.count} records: root {made.root}")


@app.command("create-key")
def create_key(
    path: Annotated[Path, typer.Argument(help="A file that does not exist yet; only you can read it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key that signs checkpoints, and print its public half for `verify --key`."""
    from custody.audit import Ed25519CheckpointSigner
    from runtime import Secret

    secret = os.urandom(32).hex()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise InputError(f"cannot create {path}: {exc.strerror}") from exc
    with os.fdopen(file, "w") as opened:
        opened.write(secret + "\n")
    key = Ed25519CheckpointSigner(Secret(secret)).key
    output.emit({"key": key, "file": str(path)}) if as_json else typer.echo(key)


def _line(row: AuditRow) -> str:
    time = datetime.fromtimestamp(row.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return f"{row.sequence:>8} {time} {row.kind:28} {row.subject:32} {row.detail}"
