"""`capstan ledger`: the double-entry books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from custody import Ledger

app = typer.Typer(no_args_is_help=True, help="The double-entry books.")

DataDirOption = Annotated[Path | None, typer.Option(help="An installation; its books are found by capstan.toml.")]
DatabaseOption = Annotated[str | None, typer.Option(help="Books by URL: sqlite:///file.db or postgresql://….")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command()
def verify(data_dir: DataDirOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Check every entry, its fingerprint and the append-only triggers. Exits with 1 when something is wrong."""
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
    """Open books that exist; looking must not create any."""
    from custody import Ledger, open_books
    from runtime import SystemClock
    from runtime.database import Database

    if (data_dir is None) == (url is None):
        raise InputError("give either --data-dir or --database")
    if url is None:
        url = _books_of((data_dir or Path()).resolve())
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not file.is_file():
        raise InputError(f"there are no books at {file}")
    return Ledger(open_books(Database(url)), SystemClock().now_ns)


def _books_of(root: Path) -> str:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    settings = load_settings(DataDir(root).settings)
    if settings.mode == "paper" or settings.custody is None:
        return f"sqlite:///{root / 'paper.db'}"
    url = settings.custody.database
    return f"sqlite:///{root / url.removeprefix('sqlite:///')}" if url.startswith("sqlite:") else url
