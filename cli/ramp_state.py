"""The capital ramp of an installation: which stage holds, what it brought, and what it leaves the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from custody.audit import AuditLog
from custody.ramp import Ramps, Step
from domain import InputError, PlatformError
from domain import events as e
from engine.risk_limits import capital
from engine.services.ramp import Expected, Realised, Where, limited, objections, realised_of, terms_of, where
from engine.services.ramp_expected import expected_of
from engine.services.ramp_settings import RampSettings, RampStage
from engine.settings import EngineSettings
from runtime.database import Database

log = structlog.get_logger(__name__)


def ramps_of(
    database: Database, now_ns: Callable[[], int], mode: str, operators: dict[str, str] | None = None
) -> Ramps:
    """Open the steps of an installation; those of paper and of live trading are apart."""
    return Ramps(database, AuditLog(database, now_ns), now_ns, scope=mode, operators=operators)


# --- the engine's start


@dataclass(frozen=True, slots=True)
class StartStage:
    """The settings an engine starts with, and the stage they come of, where there is a ramp."""

    settings: EngineSettings
    ramps: Ramps
    where: Where
    step_id: int | None = None

    @classmethod
    def of(cls, settings: EngineSettings, ramps: Ramps) -> Self:
        """Lay the stage's limits over those of the settings; the lowest stage's when nobody can tell.

        Raises:
            InputError: A strategy's share would become nothing.
        """
        if settings.ramp is None:
            return cls(settings, ramps, Where(1))
        stages, step = settings.ramp.stages, None
        try:
            step = ramps.standing()
            found = where(stages, step.stage, step.terms) if step else where(stages, None)
        except PlatformError as exc:
            found = Where(1, f"the steps cannot be read: {exc}")
        risk = limited(settings.risk, stages[found.number - 1])
        say = log.warning if found.unknown else log.info
        say("engine.ramp", stage=found.number, of=len(stages), capital=str(capital(risk)), unknown=found.unknown)
        return cls(settings.model_copy(update={"risk": risk}), ramps, found, step.id if step else None)

    def shown(self) -> dict[str, Any] | None:
        """For the status."""
        if self.settings.ramp is None:
            return None
        return {
            "stage": self.where.number,
            "stages": len(self.settings.ramp.stages),
            "capital": str(capital(self.settings.risk)),
            "unknown": self.where.unknown,
        }

    def note(self, run: str) -> None:
        """Record that a run trades at this stage; the first one ever begins the ramp.

        Where a step is recorded that is not understood, nothing is: no days count until somebody has put it right.

        Raises:
            InputError: The stage is another by now, or what is recorded could not be read.
        """
        if self.settings.ramp is None or (self.where.unknown and self.step_id is not None):
            return
        self.ramps.begin(terms_of(self.settings.ramp.stages, 1), run, seen=self.step_id)


# --- what a stage brought


@dataclass(frozen=True, slots=True)
class Assessment:
    """The stage that holds and whether the next one may come."""

    step: Step | None
    where: Where
    stage: RampStage
    expected: Expected | None
    realised: Realised | None
    against: tuple[str, ...]


def assess(settings: EngineSettings, ramp: RampSettings, step: Step | None, root: Path, mode: str) -> Assessment:
    """Judge a step up by the journals of the runs that traded at this stage. What cannot be read is a no."""
    found = where(ramp.stages, step.stage, step.terms) if step else where(ramp.stages, None)
    stage = ramp.stages[found.number - 1]
    against: list[str] = []
    expected = realised = None
    if step is None:
        against.append("the ramp has not begun: no engine was started with it")
    elif found.unknown:
        against.append(f"{found.unknown}: `capstan ramp lower --to 1` begins again")
    else:
        if found.number == len(ramp.stages):
            against.append(f"stage {found.number} is the highest")
        try:
            realised = realised_of(_looks(root, step.runs, mode), step.time_ns)
            expected = expected_of(ramp.expected, root, float(capital(limited(settings.risk, stage))))
            against += objections(stage, expected, realised)
        except PlatformError as exc:
            against.append(f"the results cannot be read: {exc}")
    return Assessment(step, found, stage, expected, realised, tuple(against))


def _looks(root: Path, runs: tuple[str, ...], mode: str) -> Iterator[Iterator[tuple[int, float]]]:
    """The results of these runs, in their order, by replaying their journals.

    Raises:
        InputError: A run's journal is not there, is there twice, is another mode's or cannot be read.
    """
    from engine.journal import read_journal

    journals: dict[str, Path] = {}
    for path in sorted(root.glob("journal*.bin")):
        header, _ = read_journal(path)
        name = str(header.get("run"))
        if name in runs and name in journals:
            raise InputError(f"run {name} is in {journals[name].name} and in {path.name}")
        journals[name] = path
    if missing := [run for run in runs if run not in journals]:
        raise InputError(f"the journal of run {', '.join(missing)} is not there (journal*.bin)")
    return (_looks_of(journals[run], root, mode) for run in runs)


def _looks_of(journal: Path, root: Path, mode: str) -> Iterator[tuple[int, float]]:
    from pydantic import ValidationError

    from engine.journal import read_journal
    from engine.setup import RunConfig, build_kernel

    header, events = read_journal(journal)
    try:
        config = RunConfig.from_header(header)
    except (ValidationError, KeyError) as exc:
        raise InputError(f"{journal.name} was written by another release") from exc
    if config.mode != mode:
        raise InputError(f"{journal.name} is of mode {config.mode}, not {mode}")
    kernel = build_kernel(config, root)
    time_ns = 0
    for event in events:
        kernel.step(event)
        time_ns = event.time_ns
        if isinstance(event, e.TimerFired):
            yield time_ns, kernel.result()
    if time_ns:
        yield time_ns, kernel.result()
