"""`capstan backtest`: strategies over recorded or made-up markets, on simulated venues."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import backtest_studies, output
from domain import InputError

app = typer.Typer(no_args_is_help=True, help="Backtests: strategies over recorded markets, on simulated venues.")
for _command in (backtest_studies.walkforward, backtest_studies.optimize, backtest_studies.worker):
    app.command()(_command)
app.command("montecarlo")(backtest_studies.run_montecarlo)

QUIET_S = 2.0
"""Nothing is said of work that takes less."""


class ProgressLine:
    """How far the work is and when it will end, on standard error; silent while it may be over at once."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._what = ""
        self._is_shown = False

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self.end()
            self._what, self._began = what, now
        elapsed = now - self._began
        if elapsed < QUIET_S or now - self._last < 0.1 or not total:
            return
        self._last, self._is_shown = now, True
        left = elapsed * (total - done) / done if done else 0.0
        line = f"{what}: {done / total:4.0%}, {elapsed:.0f} s, about {left:.0f} s left"
        sys.stderr.write(f"\r{line:<79}" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown and sys.stderr.isatty():
            sys.stderr.write("\r" + " " * 79 + "\r")
        self._is_shown = False


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="TOML or YAML: see docs/backtest.md and examples/.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the tear sheet, the result, fills, commands and the curve.")
    ] = None,
) -> None:
    """Run a backtest and show what came of it.

    The same configuration and data give the same commands and fills, byte for byte: compare `sha256`.
    """
    from engine.backtest.config import load_config
    from engine.backtest.data import load_events
    from engine.backtest.result import result_of
    from engine.backtest.run import run_backtest
    from engine.backtest.tear_sheet import flat

    settings = load_config(config)
    folder, line = config.resolve().parent, ProgressLine()
    events = load_events(settings, folder, line)
    finished = run_backtest(settings, events, folder, lambda done, total: line("running", done, total))
    line.end()
    result = result_of(finished)
    if save is not None:
        result["saved"] = str(save)
        _save(save, finished, result)
    if as_json:
        output.emit(result)
        return
    _show(flat(result))


@app.command()
def synthesize(
    path: Annotated[Path, typer.Argument(help="The store to write.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="Market time.")] = 600.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another market.")] = 7,
    symbol: Annotated[str, typer.Option(help="What the instrument is called.")] = "BTCUSDT",
    price: Annotated[float, typer.Option(min=0, help="Where the mid begins.")] = 30_000.0,
    tick: Annotated[str, typer.Option(help="Tick size.")] = "0.1",
    lot: Annotated[str, typer.Option(help="Lot size.")] = "0.001",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Make a market from a seed, for examples that need no recording."""
    from engine.backtest.synthetic import synthesize as make
    from engine.data import StoredInstrument, write_store

    events = make(seconds=seconds, seed=seed, price=int(Decimal(str(price)) / Decimal(tick)))
    stored = write_store(path, events, (StoredInstrument(0, "sim", symbol, tick, lot),))
    answer = {"path": str(path), "events": len(events), "sha256": stored.digest}
    output.emit(answer) if as_json else output.say(f"{len(events):,} events in {path}")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="What `capstan backtest run --save` wrote.")],
    save: Annotated[Path | None, typer.Option(help="Where to write; without it, into RUN.")] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many runs were tried before this one: deflates the Sharpe ratio.")
    ] = 1,
    images: Annotated[bool, typer.Option(help="Also PNGs: an overview and one for each chart.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Write the tear sheet of a saved run: one self-contained page, the round trips as CSV, and PNGs."""
    from engine.backtest.images import write_images
    from engine.backtest.result import result_of
    from engine.backtest.saved import load_run
    from engine.backtest.tear_sheet import flat, write_tear_sheet, write_trades

    finished = load_run(run_folder)
    result = result_of(finished, trials=trials)
    folder = save or run_folder
    folder.mkdir(parents=True, exist_ok=True)
    write_tear_sheet(folder / "tear_sheet.html", finished, result)
    write_trades(folder / "trades.csv", finished)
    written = [folder / "tear_sheet.html", folder / "trades.csv"]
    if images:
        written += write_images(folder, finished)
    result["written"] = [str(path) for path in written]
    if as_json:
        output.emit(result)
        return
    _show(flat({name: result[name] for name in ("name", "pnl", "costs", "ratios", "fill_quality")}))
    output.say("\n".join(["", *result["written"]]))


@app.command()
def compare(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more saved runs.")],
    save: Annotated[Path | None, typer.Option(help="Folder for `compare.html`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Put saved runs side by side, and say whether each differs from the first by more than chance.

    The Sharpe ratios are deflated by the number of runs; the difference to the first comes with the interval that
    resampled blocks of equal steps give it (95 %).
    """
    from engine.backtest.compare import comparison, write_comparison
    from engine.backtest.saved import load_run

    runs = [load_run(folder) for folder in run_folders]
    made = comparison([folder.name for folder in run_folders], runs)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        write_comparison(save / "compare.html", made, runs)
        made["written"] = str(save / "compare.html")
    if as_json:
        output.emit(made)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("", *(item["run"] for item in made["runs"])):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")
    from engine.backtest.tear_sheet import flat

    columns = [flat(item) for item in made["runs"]]
    for label in columns[0]:
        table.add_row(label, *(column.get(label, "–") for column in columns))
    Console().print(table)


@app.command()
def check(
    config: Annotated[
        Path | None, typer.Argument(help="A backtest's TOML or YAML; or use --signal and --bars.")
    ] = None,
    cuts: Annotated[int, typer.Option(min=1, max=1_000, help="How many prefixes.")] = 8,
    signal: Annotated[
        str, typer.Option(help="`module:function` of bars to a value each, looked for in this folder first.")
    ] = "",
    bars: Annotated[Path | None, typer.Option(help="Table of bars for --signal.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Check for look-ahead: run the whole and prefixes of the data; what was decided must not change.

    Ends with 1 when something saw what came later, or when two runs over the same data differ.
    """
    from engine.research.lookahead import describe

    if (config is None) == (not signal) or bool(signal) != (bars is not None):
        raise InputError("what should be checked?", hint="give CONFIG, or --signal with --bars")
    checked = _check_strategies(config, cuts) if config is not None else _check_signal(signal, bars, cuts)
    if as_json:
        leaks = [leak._asdict() for leak in checked.leaks]
        output.emit({**checked._asdict(), "is_clean": checked.is_clean, "leaks": leaks})
    else:
        verdict = "clean" if checked.is_clean else "NOT clean"
        lines = [f"{verdict}: {checked.compared:,} decisions compared at {checked.cuts} cuts", *describe(checked)]
        output.say("\n".join(lines))
    if not checked.is_clean:
        raise typer.Exit(1)


def _check_strategies(config: Path, cuts: int) -> Any:
    from engine.backtest.config import load_config
    from engine.backtest.data import load_events
    from engine.research.cut_files import run_prefix
    from engine.research.lookahead import check_prefixes

    settings, folder, line = load_config(config), config.resolve().parent, ProgressLine()
    events = load_events(settings, folder, line)
    done = 0

    def decide(part: Any) -> Any:
        nonlocal done
        line("checking", done, cuts + 2)
        done += 1
        return run_prefix(settings, part, folder)

    checked = check_prefixes(decide, events, cuts=cuts)
    line.end()
    return checked


def _check_signal(reference: str, bars: Path | None, cuts: int) -> Any:
    from engine.data import read_bars
    from engine.research.lookahead import check_signal
    from engine.sdk.loading import load_function

    assert bars is not None
    return check_signal(load_function(reference, Path.cwd()), read_bars(bars), cuts=cuts)


def _show(rows: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def _save(folder: Path, finished: Any, result: dict[str, Any]) -> None:
    """Write everything a run left into a folder."""
    from engine.backtest.saved import save_run
    from engine.backtest.tear_sheet import write_tear_sheet, write_trades

    save_run(folder, finished, result)
    write_tear_sheet(folder / "tear_sheet.html", finished, result)
    write_trades(folder / "trades.csv", finished)
