"""`capstan custody reconcile | solvency | freezes | freeze | unfreeze`: books against places, and what may leave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing
from runtime import configure_logging

if TYPE_CHECKING:
    from custody.freeze import Freeze, Freezes

InstallationOption = Annotated[Path, typer.Option("--data-dir", help="The installation.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever reads the audit log.")]
OperatorOption = Annotated[str, typer.Option(help="Your name.")]


def add_to(app: typer.Typer) -> None:
    """Put these commands into `capstan custody`."""
    app.command()(reconcile)
    app.command()(solvency)
    app.command()(freezes)
    app.command()(freeze)
    app.command()(unfreeze)


def reconcile(data_dir: InstallationOption, as_json: JsonOption = False) -> None:
    """Compare the books with the chain at a finalized block and with every exchange.

    An unexplained difference freezes what leaves that place, until two people lift it with `unfreeze`. Exits with 1
    when something differs or a place did not answer.
    """
    from cli.reconciling import reconcile as run

    configure_logging(level="WARNING")
    found = run(data_dir)
    if as_json:
        output.emit(found)
    else:
        for item in found["mismatches"]:
            typer.echo(
                f"{item['account']}: {item['unexplained']} of {item['asset']} is unexplained; {item['scope']} is frozen"
            )
        for scope in found["unread"]:
            typer.echo(f"{scope} did not answer: nothing is known about it")
        what = "all accounted for" if found["clean"] else f"{len(found['mismatches'])} mismatches"
        typer.echo(f"{found['compared']} balances, {len(found['explained'])} on their way: {what}")
    if not found["clean"]:
        raise typer.Exit(1)


def solvency(data_dir: InstallationOption, as_json: JsonOption = False) -> None:
    """Compare what is held now with what clients are owed; freeze everything when it is less. Exits with 1 then."""
    from cli.reconciling import check_solvency

    configure_logging(level="WARNING")
    found = check_solvency(data_dir)
    if as_json:
        output.emit(found)
    else:
        for item in found["assets"]:
            state = "covered" if item["solvent"] else "SHORT: everything is frozen"
            typer.echo(f"{item['name']}: {item['held']} held, {item['owed']} owed: {state}")
    if not found["solvent"]:
        raise typer.Exit(1)


def freezes(data_dir: DataDirOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List what is frozen, since when, why, and who has agreed to lift it."""
    found = [_wire(item) for item in _open(data_dir, database).standing()]
    if as_json:
        output.emit(found)
        return
    for item in found:
        agreed = f", {' and '.join(item['lifted_by'])} agreed" if item["lifted_by"] else ""
        since = datetime.fromtimestamp(item["time_ns"] / 1e9, UTC).isoformat(timespec="seconds")
        typer.echo(f"{item['id']:>4} {item['scope']} since {since} by {item['source']}: {item['reason']}{agreed}")


def freeze(
    scope: Annotated[str, typer.Argument(help="all, chain/<id>, venue/<id> or vault/<name>.")],
    operator: OperatorOption,
    reason: ReasonOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop everything that would leave a scope, at once. One person may; two are needed to lift it."""
    imposed = _wire(_open(data_dir, database).impose(scope, source=f"operator:{operator}", reason=reason))
    output.emit(imposed) if as_json else typer.echo(f"{scope} is frozen (freeze {imposed['id']})")


def unfreeze(
    number: Annotated[int, typer.Argument(help="Which freeze, as `freezes` lists it.")],
    data_dir: InstallationOption,
    operator: OperatorOption,
    reason: ReasonOption,
    key_ref: Annotated[
        str | None, typer.Option(help="Your Ed25519 key, file:PATH or env:NAME; needed where operators have keys.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give your word that a freeze may end. It ends when two different people have given theirs."""
    from custody.freeze import sign_lift
    from runtime.secrets import resolve_secret

    signature = None if key_ref is None else sign_lift(resolve_secret(key_ref), number, operator, reason)
    left = _open(data_dir, None).lift(number, operator=operator, reason=reason, signature=signature)
    if as_json:
        output.emit({"id": number, "stands": left is not None})
    else:
        typer.echo(
            f"freeze {number} has ended" if left is None else f"freeze {number} stands: one more person is needed"
        )


def _open(data_dir: Path | None, database: str | None) -> Freezes:
    from custody.audit import AuditLog
    from custody.freeze import Freezes
    from runtime import SystemClock

    books, now_ns = open_existing(data_dir, database), SystemClock().now_ns
    return Freezes(books, AuditLog(books, now_ns), now_ns, operators=_operators(data_dir))


def _operators(data_dir: Path | None) -> dict[str, str]:
    """The keys of operators, where the installation names them."""
    if data_dir is None:
        return {}
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    custody = load_settings(DataDir(data_dir.resolve()).settings).custody
    return {} if custody is None else dict(custody.operators)


def _wire(freeze: Freeze) -> dict[str, Any]:
    return {name: getattr(freeze, name) for name in ("id", "scope", "source", "reason", "time_ns", "lifted_by")}
