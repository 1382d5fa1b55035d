"""`capstan backtest walkforward|optimize|worker`: many runs, in one process, in several, or on Celery workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from celery import Celery

    from engine.research.executors import Executor

Study = Annotated[Path, typer.Argument(help="TOML or YAML: see docs/research.md and examples/research/.")]
Processes = Annotated[int, typer.Option(min=1, max=256, help="Processes of this machine that share the work.")]
Broker = Annotated[
    str, typer.Option(help="Leave the work to Celery workers: redis://host:port/db, or a folder that all of them see.")
]
Save = Annotated[Path | None, typer.Option(help="Folder for the page and the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


def walkforward(
    study: Study, processes: Processes = 1, broker: Broker = "", save: Save = None, as_json: AsJson = False
) -> None:
    """Choose parameters on the past, trade what follows, fold after fold, over markets of bars.

    The result is the same on any number of processes and workers: compare `sha256`.
    """
    from cli.backtest import ProgressLine
    from engine.research.pages import write_walk_forward
    from engine.research.study import load_study
    from engine.research.walkforward import run_walk_forward, summary

    settings, folder, line = load_study(study), study.resolve().parent, ProgressLine()
    with _executor(processes, broker) as executor:
        found = run_walk_forward(settings, folder, executor, lambda done, total: line("folds", done, total))
    line.end()
    told = summary(found)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        write_walk_forward(save / "walkforward.html", found)
        _write(save / "walkforward.json", told)
        told["saved"] = str(save)
    if as_json:
        output.emit(told)
        return
    columns = [{key: value for key, value in market.items() if key != "costs"} for market in told["markets"]]
    rows = [{"": name, **{one["market"]: one[name] for one in columns}} for name in list(columns[0])[1:]]
    _table(("", *(one["market"] for one in columns)), rows)
    output.say(
        f"\n{told['sets']} sets, {told['set_bars']:,} bars run, net {told['net']:+,.2f}; sha256 {told['sha256']}"
    )


def optimize(
    study: Study, processes: Processes = 1, broker: Broker = "", save: Save = None, as_json: AsJson = False
) -> None:
    """Search for the best parameters of a backtest, or of a strategy over bars; say how much of it is luck.

    Over bars the last `holdout` of them is never searched, and the best set is run over it. The result is the same on
    any number of processes and workers.
    """
    from cli.backtest import ProgressLine
    from engine.research.pages import write_search
    from engine.research.search import run_search
    from engine.research.study import load_study

    settings, folder, line = load_study(study), study.resolve().parent, ProgressLine()
    with _executor(processes, broker) as executor:
        found = run_search(settings, folder, executor, lambda done, total: line("trials", done, total))
    line.end()
    best = found.best
    told: dict[str, Any] = {
        "name": settings.name,
        "trials": len(found.trials),
        "score": settings.score,
        "best": {"score": best.score, "net": best.net, "drawdown": best.drawdown, "parameters": best.parameters},
        "held_out": found.held_out,
        "deflated": found.deflated,
    }
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        write_search(save / "optimize.html", found)
        trials = [{"trial": t.number, "score": t.score, "net": t.net, **t.parameters} for t in found.trials]
        _write(save / "optimize.json", {**told, "all": trials})
        told["saved"] = str(save)
    if as_json:
        output.emit(told)
        return
    top = sorted(found.trials, key=lambda t: -(t.score if t.score is not None else float("-inf")))[:10]
    rows = [{"trial": t.number, "score": t.score, "net": t.net, "drawdown": t.drawdown, **t.parameters} for t in top]
    _table(tuple(rows[0]), rows)
    if found.held_out is not None:
        held = found.held_out
        output.say(f"\nheld out, {held['bars']:,} bars: {settings.score} {held['score']:.4g}, net {held['net']:+,.2f}")
    if found.deflated is not None:
        output.say(f"the best of {len(found.trials)} is more than luck with {found.deflated:.1%}")


def run_montecarlo(
    run: Annotated[Path, typer.Argument(help="A backtest's TOML or YAML, or the folder of a saved run.")],
    draws: Annotated[int, typer.Option(min=10, max=1_000_000, help="Resamples of each kind.")] = 5_000,
    reruns: Annotated[
        int, typer.Option(min=0, max=100_000, help="Runs in other conditions: latency, queue, slippage, delays.")
    ] = 20,
    latency_spread: Annotated[float, typer.Option(min=0, max=3, help="Deviation of the latency's logarithm.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed is the same answer.")] = 7,
    processes: Processes = 1,
    broker: Broker = "",
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Draw a backtest's trades and steps anew, and run it in other conditions: how deep might it have fallen?

    A saved run is resampled only; a configuration is run, and run again in other conditions.
    """
    from dataclasses import replace

    from cli.backtest import ProgressLine
    from engine.backtest.saved import load_run
    from engine.research import montecarlo as simulation
    from engine.research.pages import write_monte_carlo

    line = ProgressLine()
    if run.is_dir():
        found = simulation.resampled(load_run(run), draws=draws, seed=seed)
    else:
        from engine.backtest.config import load_config
        from engine.backtest.data import load_events
        from engine.backtest.run import run_backtest

        settings, folder = load_config(run), run.resolve().parent
        base = run_backtest(settings, load_events(settings, folder, line), folder)
        found = simulation.resampled(base, draws=draws, seed=seed)
        if reruns:
            with _executor(processes, broker) as executor:
                other = simulation.perturbed(
                    settings,
                    folder,
                    executor,
                    reruns=reruns,
                    latency_spread=latency_spread,
                    seed=seed,
                    progress=lambda done, total: line("running again", done, total),
                )
            found = replace(found, distributions=(*found.distributions, other))
    line.end()
    told = simulation.summary(found)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        write_monte_carlo(save / "montecarlo.html", found)
        _write(save / "montecarlo.json", told)
        told["saved"] = str(save)
    if as_json:
        output.emit(told)
        return
    rows = [
        {
            "drawn": one["kind"],
            "draws": one["draws"],
            "loses": one["loses"],
            **{f"net {name}": one["net"][name] for name in ("p5", "p50", "p95")},
            **{f"drawdown {name}": one["drawdown"][name] for name in ("p50", "p95", "p99")},
        }
        for one in told["distributions"]
    ]
    _table(tuple(rows[0]), rows)
    output.say(f"\nthe run: {found.net:+,.2f} {found.account}, {found.drawdown:,.2f} below its peak at most")


def worker(
    broker: Annotated[str, typer.Option(help="redis://host:port/db, or a folder that all of them see.")],
    processes: Annotated[int, typer.Option(min=1, max=256, help="Units of work at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Work for `walkforward`, `optimize` and `montecarlo` of this and other machines, until SIGTERM or SIGINT.

    The data must be on this machine too (`CAPSTAN_DATA`); what holds other data is refused. Whoever can write to the
    broker can have any strategy run here: only machines that trust one another share one.
    """
    app = _app(broker)
    if as_json:
        output.emit({"ready": True, "broker": broker})
    else:
        output.say(f"working for {broker}")
    pool = ["--pool", "solo"] if processes == 1 else ["--concurrency", str(processes)]
    app.worker_main(["--quiet", "worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle", *pool])


@contextmanager
def _executor(processes: int, broker: str) -> Iterator[Executor]:
    from engine.research import executors

    if broker:
        if processes > 1:
            raise InputError("--processes and --broker cannot both be given")
        yield executors.Workers(_app(broker))
    elif processes == 1:
        yield executors.Here()
    else:
        pool = executors.Processes(processes)
        try:
            yield pool
        finally:
            pool.close()


def _app(broker: str) -> Celery:
    from tempfile import gettempdir

    from engine.research.executors import make_research_app
    from runtime.task_settings import TaskSettings

    if "://" in broker:
        settings = TaskSettings(broker=broker, namespace="research")
        return make_research_app(settings, Path(gettempdir()) / "capstan-research")
    return make_research_app(TaskSettings(namespace="research"), Path(broker).resolve())


def _write(path: Path, value: Any) -> None:
    from engine.backtest.saved import write_json

    write_json(path, value)


def _table(names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from engine.research.pages import text_of

    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(text_of(row.get(name)) for name in names))
    Console().print(table)
