"""`capstan data`: recordings of markets, into event stores, and what is in them; histories that venues still tell."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.books import JsonOption
from cli.data_venues import history, record
from domain import InputError

if TYPE_CHECKING:
    from engine.data import Store

app = typer.Typer(no_args_is_help=True, help="Recordings of markets, into event stores, and what is in them.")
app.command()(record)
app.command()(history)


@app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(help="Files of one instrument in the order of their times.")],
    out: Annotated[Path, typer.Option(help="The store to write.")],
    symbol: Annotated[str, typer.Option(help="As the venue writes it: BTCUSDT.")],
    tick: Annotated[str, typer.Option(help="Prices must lie on it: 0.01.")],
    lot: Annotated[str, typer.Option(help="Sizes are rounded down to it: 0.00001.")],
    venue: Annotated[str, typer.Option(help="What the venue is called in the store.")] = "binance",
    shift_ns: Annotated[int, typer.Option(help="Added to times of receipt: a recorder's clock that was behind.")] = 0,
    fuse: Annotated[bool, typer.Option("--fuse", help="Let the BBO move the touch between slow diffs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read recordings (`<time of receipt in ns> <message>` a line, gzipped or not) or one Parquet file into a store."""
    from engine.data import CaptureFormat, StoredInstrument, fuse_best, import_parquet, load_capture, write_store

    if out.exists():
        raise InputError(f"{out} exists already", hint="name another file; stores are never overwritten")
    if sources[0].suffix == ".parquet":
        if len(sources) > 1:
            raise InputError("one Parquet file at a time")
        events, tally = import_parquet(sources[0]), dict[str, int]()
    else:
        with _progress() as told:
            loaded = load_capture(sources, CaptureFormat(symbol, tick, lot, shift_ns), progress=told)
        events, tally = loaded.events, loaded.tally
        if loaded.sequence_errors:
            output.say(f"{tally['gaps']} gaps: the book is stale from each until the next snapshot")
    if fuse:
        events = fuse_best(events)
    store = write_store(out, events, (StoredInstrument(0, venue, symbol, tick, lot),))
    _tell(store, tally, as_json=as_json)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A store.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare the records with their digest.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a store holds: instruments, span, records by kind, staleness."""
    from engine.data import open_store

    store = open_store(path)
    if verify:
        store.verify()
    _tell(store, {}, as_json=as_json)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A store.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write a store's records as Parquet, a column a field."""
    from engine.data import export_parquet, open_store

    if out.exists():
        raise InputError(f"{out} exists already", hint="name another file")
    events = open_store(path).events
    export_parquet(events, out)
    if as_json:
        output.emit({"path": str(out), "events": len(events)})
    else:
        typer.echo(f"{out}: {len(events):,} events")


class _progress:  # noqa: N801 - used as a function.
    """A bar on standard error where a person looks, nothing elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True)
        self._task = self._bar.add_task("reading", total=None)

    def __enter__(self) -> _progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


def _tell(store: Store, tally: dict[str, int], *, as_json: bool) -> None:
    found = _describe(store) | ({"messages": tally} if tally else {})
    if as_json:
        output.emit(found)
        return
    typer.echo(f"{store.path}: {found['events']:,} events, {found['bytes']:,} bytes, digest {store.digest[:16]}…")
    for one in store.instruments:
        typer.echo(f"  {one.index}: {one.venue} {one.symbol}, tick {one.tick_size}, lot {one.lot_size}")
    if found["events"]:
        typer.echo(f"  {found['first']} to {found['last']}")
    typer.echo("  " + ", ".join(f"{count:,} {kind.lower()}" for kind, count in found["kinds"].items()))


def _describe(store: Store) -> dict[str, Any]:
    import numpy as np

    from engine.records import EventKind

    events = store.events
    counts = np.bincount(events["kind"], minlength=256)
    known = {kind.value: kind.name for kind in EventKind}
    kinds = {known.get(number, f"KIND_{number}"): int(counts[number]) for number in np.flatnonzero(counts).tolist()}
    span = (int(events["time_local_ns"][0]), int(events["time_local_ns"][-1])) if len(events) else (0, 0)
    first, last = (datetime.fromtimestamp(time // 10**9, UTC).isoformat() for time in span)
    return {
        "path": str(store.path),
        "events": len(events),
        "bytes": store.path.stat().st_size,
        "digest": store.digest,
        "first_ns": span[0],
        "last_ns": span[1],
        "first": first,
        "last": last,
        "kinds": kinds,
        "instruments": [
            {
                "index": one.index,
                "venue": one.venue,
                "symbol": one.symbol,
                "tick_size": one.tick_size,
                "lot_size": one.lot_size,
            }
            for one in store.instruments
        ],
    }
