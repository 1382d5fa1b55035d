"""Finding the books that `capstan ledger`, `audit` and `custody` look into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain import InputError

if TYPE_CHECKING:
    from cli.settings import CustodySettings
    from runtime.database import Database

DataDirOption = Annotated[Path | None, typer.Option(help="An installation; its books are found by capstan.toml.")]
DatabaseOption = Annotated[str | None, typer.Option(help="Books by URL: sqlite:///file.db or postgresql://….")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def open_existing(data_dir: Path | None, url: str | None) -> Database:
    """Open books that exist; looking must not create any.

    Raises:
        InputError: Neither or both were given, or there are no books there.
    """
    from custody import open_books
    from runtime.database import Database

    if (data_dir is None) == (url is None):
        raise InputError("give either --data-dir or --database")
    if url is None:
        url = _books_of((data_dir or Path()).resolve())
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not file.is_file():
        raise InputError(f"there are no books at {file}")
    return open_books(Database(url))


def custody_url(root: Path, custody: CustodySettings) -> str:
    """Where custody's books of an installation are, also while its engine trades on paper."""
    url = custody.database
    return f"sqlite:///{root / url.removeprefix('sqlite:///')}" if url.startswith("sqlite:") else url


def _books_of(root: Path) -> str:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    settings = load_settings(DataDir(root).settings)
    if settings.mode == "paper" or settings.custody is None:
        return f"sqlite:///{root / 'paper.db'}"
    return custody_url(root, settings.custody)
