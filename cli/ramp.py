"""`capstan ramp`: which stage of its capital an installation trades with, and the steps up and down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output

if TYPE_CHECKING:
    from cli.ramp_state import Assessment
    from cli.settings import Settings
    from custody.ramp import Proposal, Ramps, Step
    from engine.services.ramp_settings import RampSettings

app = typer.Typer(no_args_is_help=True, help="Capital by stages: up by two people and checks, down by one.")

DataDirOption = Annotated[Path, typer.Option(help="The installation.")]
OperatorOption = Annotated[str, typer.Option(help="Your name.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever reads the audit log.")]
KeyOption = Annotated[
    str | None, typer.Option(help="Your Ed25519 key, file:PATH or env:NAME; needed where operators have keys.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


class _Opened:
    """An installation with a ramp."""

    def __init__(self, data_dir: Path) -> None:
        from cli.books import open_existing
        from cli.data_dir import DataDir
        from cli.ramp_state import ramps_of
        from cli.settings import load_settings
        from domain import InputError
        from runtime import SystemClock

        self.root = data_dir.resolve()
        self.settings: Settings = load_settings(DataDir(self.root).settings)
        if self.settings.engine.ramp is None:
            raise InputError("no capital ramp is configured", hint="[engine.ramp] in capstan.toml; see docs/ramp.md")
        self.ramp: RampSettings = self.settings.engine.ramp
        self.now_ns = SystemClock().now_ns
        database = open_existing(self.root, None)
        custody = self.settings.custody
        operators = {} if custody is None else dict(custody.operators)
        self.ramps: Ramps = ramps_of(database, self.now_ns, self.settings.mode, operators)

    def assess(self) -> Assessment:
        from cli.ramp_state import assess

        return assess(self.settings.engine, self.ramp, self.ramps.standing(), self.root, self.settings.mode)


@app.command()
def status(data_dir: DataDirOption = Path(), as_json: JsonOption = False) -> None:
    """Show the stage that holds, what it brought, and what speaks against the next.

    Reads the journals of the runs of this stage, which takes a while when they are long.
    """
    opened = _Opened(data_dir)
    found, waiting = opened.assess(), opened.ramps.proposals()
    told = _told(found, waiting, len(opened.ramp.stages))
    if as_json:
        output.emit(told)
        return
    since = f" since {_time(found.step.time_ns)} ({found.step.kind} by {found.step.operator})" if found.step else ""
    typer.echo(f"stage {found.where.number} of {told['stages']}, capital {found.stage.capital}{since}")
    if found.where.unknown:
        typer.echo(f"unknown: {found.where.unknown}; the lowest stage holds")
    if (real := found.realised) is not None:
        typer.echo(
            f"{real.days} whole days ({real.hours} hours), result {real.result:.2f}, drawdown {real.drawdown:.2f}"
        )
    if found.expected is not None:
        typer.echo(f"expected a day: {found.expected.mean:.2f} ± {found.expected.deviation:.2f}")
    for reason in found.against:
        typer.echo(f"against a step up: {reason}")
    if not found.against:
        typer.echo("nothing speaks against a step up")
    for item in waiting:
        typer.echo(f"proposal {item.id} by {item.operator}, {_time(item.time_ns)}: stage {item.stage}, {item.reason}")


@app.command()
def propose(
    operator: OperatorOption,
    reason: ReasonOption,
    data_dir: DataDirOption = Path(),
    key_ref: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose the next stage. Another person approves it within a day, or it is void."""
    from custody.ramp import sign_proposal
    from engine.services.ramp import terms_of
    from runtime.secrets import resolve_secret

    opened = _Opened(data_dir)
    found = opened.assess()
    step = _begun(found.step)
    terms = terms_of(opened.ramp.stages, step.stage + 1)
    signature = None
    if key_ref is not None:
        signature = sign_proposal(resolve_secret(key_ref), step.id, step.stage + 1, terms, operator, reason)
    made = opened.ramps.propose(
        step, terms, operator=operator, reason=reason, against=found.against, signature=signature
    )
    if as_json:
        output.emit({"proposal": made.id, "stage": made.stage})
    else:
        typer.echo(f"proposal {made.id}: stage {made.stage}; another person approves it within a day")


@app.command()
def approve(
    number: Annotated[int, typer.Argument(help="Which proposal, as `status` lists it.")],
    operator: OperatorOption,
    reason: ReasonOption,
    data_dir: DataDirOption = Path(),
    key_ref: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve another person's proposal: everything is checked again, and the stage holds from the next start."""
    from custody.ramp import sign_approval
    from engine.services.ramp import terms_of
    from runtime.secrets import resolve_secret

    opened = _Opened(data_dir)
    found = opened.assess()
    against, signature = found.against, None
    for item in opened.ramps.proposals():
        if item.id != number:
            continue
        if item.stage > len(opened.ramp.stages) or item.terms != terms_of(opened.ramp.stages, item.stage):
            against = (*against, f"the settings of stage {item.stage} are not those that were proposed")
        if key_ref is not None:
            signature = sign_approval(resolve_secret(key_ref), item, operator, reason)
    step = opened.ramps.approve(number, operator=operator, reason=reason, against=against, signature=signature)
    _say_step(step, as_json)


@app.command()
def lower(
    operator: OperatorOption,
    reason: ReasonOption,
    to: Annotated[int | None, typer.Option(help="The stage; without it, the one below.")] = None,
    data_dir: DataDirOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Go down to a lower stage: one person, no checks. It holds from the engine's next start; `capstan kill` is now."""
    from domain import InputError
    from engine.services.ramp import terms_of, where

    opened = _Opened(data_dir)
    step = opened.ramps.standing()
    held = where(opened.ramp.stages, step.stage, step.terms) if step else where(opened.ramp.stages, None)
    stage = max(1, held.number - 1) if to is None else to
    if not held.unknown and stage >= held.number:
        raise InputError(f"stage {stage} is not lower than stage {held.number}", hint="`capstan ramp propose` goes up")
    if held.unknown and stage != 1:
        raise InputError(f"only stage 1 can be taken: {held.unknown}", hint="`capstan ramp lower --to 1`")
    _say_step(opened.ramps.lower(stage, terms_of(opened.ramp.stages, stage), operator=operator, reason=reason), as_json)


def _begun(step: Step | None) -> Step:
    if step is None:
        from domain import InputError

        raise InputError("the ramp has not begun", hint="start the engine: it begins at the lowest stage")
    return step


def _say_step(step: Step, as_json: bool) -> None:
    if as_json:
        output.emit({"stage": step.stage, "step": step.id})
    else:
        typer.echo(f"stage {step.stage} holds from the engine's next start, in a run of its own (docs/ramp.md)")


def _told(found: Assessment, waiting: list[Proposal], stages: int) -> dict[str, Any]:
    step, real, hoped = found.step, found.realised, found.expected
    return {
        "stage": found.where.number,
        "stages": stages,
        "unknown": found.where.unknown,
        "capital": str(found.stage.capital),
        "since_ns": step.time_ns if step else None,
        "realised": None
        if real is None
        else {"days": real.days, "hours": real.hours, "result": real.result, "drawdown": real.drawdown},
        "expected": None if hoped is None else {"mean": hoped.mean, "deviation": hoped.deviation},
        "against": list(found.against),
        "proposals": [
            {"id": p.id, "stage": p.stage, "operator": p.operator, "reason": p.reason, "time_ns": p.time_ns}
            for p in waiting
        ],
    }


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="minutes")
