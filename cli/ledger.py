"""`capstan ledger`: the double-entry books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import ledger_proof, output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing

if TYPE_CHECKING:
    from custody import Ledger

app = typer.Typer(no_args_is_help=True, help="The double-entry books.")
app.add_typer(ledger_proof.app, name="proof")


@app.command()
def verify(data_dir: DataDirOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Check entries, fingerprints, balances and append-only triggers. Exits with 1 when something is wrong."""
    ledger = _open(data_dir, database)
    found = ledger.verify()
    totals = {asset: str(raw) for asset, raw in ledger.trial_balance().items() if raw}
    if as_json:
        output.emit(
            {
                "sound": found.is_sound,
                "entries": found.entries,
                "postings": found.postings,
                "problems": found.problems,
                "off_by": totals,
            }
        )
    else:
        for problem in found.problems:
            typer.echo(problem)
        state = "sound" if found.is_sound else f"{len(found.problems)} problems"
        typer.echo(f"{found.entries} entries, {found.postings} postings: {state}")
    if not found.is_sound:
        raise typer.Exit(1)


@app.command()
def balances(
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    prefix: Annotated[str, typer.Option(help="Only accounts from here down: venue, chain/1337, fees/mm.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what every account holds, in the smallest unit of each asset."""
    found = _open(data_dir, database).balances(prefix)
    if as_json:
        output.emit({account: {asset: str(raw) for asset, raw in held.items()} for account, held in found.items()})
        return
    for account, held in found.items():
        for asset, raw in held.items():
            typer.echo(f"{account:64} {raw:>32} {asset}")


def _open(data_dir: Path | None, url: str | None) -> Ledger:
    from custody import Ledger
    from runtime import SystemClock

    return Ledger(open_existing(data_dir, url), SystemClock().now_ns)
