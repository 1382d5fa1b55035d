"""`capstan replay`: what a run did, and whether it would decide the same again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cli import output

app = typer.Typer(help="Replay a run's journal.")
_T = TypeVar("_T")


@app.command()
def replay(
    journal: Annotated[Path, typer.Argument(help="journal.bin of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Replay a journal: what the run did, and the SHA-256 over its decisions.

    The run stamped what it had decided several times a second; the replay must decide the same at every stamp, else it
    ends with an error that names the first one that differs.
    """
    from engine.journal import read_journal
    from engine.replay import replay as replay_events
    from engine.reporting import summarize, to_json
    from engine.setup import RunConfig, build_kernel

    header, events = read_journal(journal)
    recorded = list(events)
    config = RunConfig.from_header(header)
    folder = journal.resolve().parent
    digest = replay_events(build_kernel(config, folder), watched(recorded, "deciding"))
    summary = to_json(summarize(build_kernel(config, folder), watched(recorded, "counting")))
    result = {"run": config.run, "commands": digest.count, "sha256": digest.hex, "stamps": digest.stamps, **summary}
    output.table(result, as_json=as_json)


def watched(items: Sequence[_T], what: str) -> Iterator[_T]:
    """Show how far it is and how long it will take, on a terminal's standard error only."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(items, what, console=console, transient=True, disable=not console.is_terminal))
