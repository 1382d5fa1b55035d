"""`capstan execute`: a parent order planned and tried on a recorded market, and what one cost that was executed.

Nothing is sent from here: the table that was tried goes into `[[engine.strategies]]`, where the engine's limits stand.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from engine.strategies.execute import ExecuteSettings

app = typer.Typer(no_args_is_help=True, help="Parent orders: plan, try on a market, report. Sends nothing.")

OrderArgument = Annotated[Path, typer.Argument(help="TOML with the keys of the strategy `execute`: docs/execution.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


@app.command()
def plan(order: OrderArgument, as_json: JsonOption = False) -> None:
    """Show what would be done by when, slice by slice."""
    from engine.execution import Paced, Participating
    from engine.strategies.execute import parent_order

    settings = _load(order)
    parent = parent_order(settings)
    told: dict[str, Any] = {"side": settings.side, "qty": str(settings.qty), "algorithm": settings.algorithm.name}
    if settings.limit is not None:
        told["limit"] = str(settings.limit)
    if isinstance(parent, Paced) and not isinstance(parent, Participating):
        # In millionths of the whole: lots are the venue's, and known when it runs.
        every, end, whole = parent.pace.every_ns, parent.schedule.duration_ns, 1_000_000
        told["slices"] = [
            {"after_s": at / 1e9, "done": str(settings.qty * parent.schedule.by(whole, at) / whole)}
            for at in [*range(every, end, every), end]
        ]
    if as_json:
        output.emit(told)
        return
    slices = told.pop("slices", [])
    output.table(told, as_json=False)
    output.say("\n".join(f"after {one['after_s']:g} s: {one['done']}" for one in slices))


@app.command()
def simulate(
    order: OrderArgument,
    on: Annotated[Path, typer.Option(help="A backtest's file: its data, instruments, simulator and limits are taken.")],
    as_json: JsonOption = False,
) -> None:
    """Execute it on a recorded or made-up market, and report what it cost."""
    from cli.backtest import ProgressLine
    from engine.backtest.config import load_config
    from engine.backtest.data import load_events
    from engine.backtest.run import run_backtest

    settings, market, line = _load(order), load_config(on), ProgressLine()
    if settings.instrument not in market.instruments:
        raise InputError(
            f"{on}: no instrument {settings.instrument}", hint=f"there are {', '.join(market.instruments)}"
        )
    config = market.model_copy(update={"strategies": (settings,)})
    folder = on.resolve().parent
    finished = run_backtest(
        config, load_events(config, folder, line), folder, lambda done, total: line("executing", done, total)
    )
    line.end()
    output.table(_report(finished.strategies[0], finished.ended_ns), as_json=as_json)


@app.command()
def report(
    journal: Annotated[Path, typer.Argument(help="journal.bin of a run that executes, or has executed.")],
    as_json: JsonOption = False,
) -> None:
    """Report on every parent order of a run, from its journal."""
    from engine.journal import read_journal
    from engine.replay import replay
    from engine.setup import RunConfig, build_kernel
    from engine.strategies.execute import Execute

    header, events = read_journal(journal)
    kernel = build_kernel(RunConfig.from_header(header), journal.resolve().parent)
    replay(kernel, events)
    orders = {s.id: _report(s, kernel.native.now_ns) for s in kernel.strategies if isinstance(s, Execute)}
    if not orders:
        raise InputError(f"{journal}: no strategy of the kind execute in this run")
    if as_json:
        output.emit(orders)
        return
    for name, told in orders.items():
        output.say(name)
        output.table(told, as_json=False)


@app.command()
def curve(
    on: Annotated[Path, typer.Argument(help="A backtest's file whose data is read.")],
    instrument: Annotated[str, typer.Option(help="`venue:SYMBOL`.")],
    parts: Annotated[int, typer.Option(min=1, max=1_440, help="Equal parts of the time.")] = 24,
    by_day: Annotated[bool, typer.Option("--by-day", help="Parts of the UTC day, all days together.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a volume curve for `vwap` of recorded trades."""
    import numpy as np

    from engine.backtest.config import load_config
    from engine.backtest.data import load_events
    from engine.execution.curves import volume_curve
    from engine.records import EventKind

    config = load_config(on)
    if instrument not in config.instruments:
        raise InputError(f"{on}: no instrument {instrument}", hint=f"there are {', '.join(config.instruments)}")
    events = load_events(config, on.resolve().parent)
    events = events[events["instrument"] == list(config.instruments).index(instrument)]
    trades = events[events["kind"] == EventKind.TRADE]
    shares = volume_curve(np.array(trades["time_local_ns"]), np.array(trades["size"]), parts, by_day=by_day)
    if as_json:
        output.emit({"curve": [str(share) for share in shares]})
    else:
        output.say("curve = [" + ", ".join(f'"{share}"' for share in shares) + "]")


def _report(strategy: Any, now_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = strategy.report(now_ns).to_json()
    return told


def _load(path: Path) -> ExecuteSettings:
    """Read a parent order.

    Raises:
        InputError: Unreadable, no TOML, or a key that cannot be; in one line.
    """
    from pydantic import ValidationError

    from engine.strategies.execute import ExecuteSettings

    try:
        return ExecuteSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}", hint="examples/execute.toml is one") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: {exc}") from exc
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path}: {where + ': ' if where else ''}{problem['msg']}") from exc
