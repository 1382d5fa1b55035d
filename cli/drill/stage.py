"""Steps with a name and a time; the first that fails ends the drill."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli import output
from domain import PlatformError


class StepFailed(PlatformError):
    """A step of the drill did not do what it must; `step` names it."""

    def __init__(self, step: str, exc: BaseException) -> None:
        hint = exc.hint if isinstance(exc, PlatformError) else ""
        super().__init__(f"step {step!r} failed: {exc or type(exc).__name__}", hint=hint)
        self.step = step


@dataclass(slots=True)
class Report:
    """What was done, and how long it took."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""

    @property
    def seconds(self) -> float:
        return round(sum(float(step["seconds"]) for step in self.steps), 3)

    def view(self) -> dict[str, Any]:
        return {"ok": not self.failed, "seconds": self.seconds, "failed": self.failed, "steps": self.steps}


def perform(steps: list[tuple[str, Callable[[], dict[str, Any]]]], report: Report, *, quiet: bool) -> None:
    """Do the steps in order; each says what it found, or raises.

    Raises:
        StepFailed: At the first that raises; it is in the report.
    """
    for number, (name, work) in enumerate(steps, start=1):
        began = time.monotonic()
        try:
            found = work()
        except Exception as exc:
            report.failed = name
            report.steps.append({"step": name, "ok": False, "seconds": _since(began), "error": str(exc)})
            raise StepFailed(name, exc) from exc
        report.steps.append({"step": name, "ok": True, "seconds": _since(began), **found})
        if not quiet:
            detail = ", ".join(f"{key} {value}" for key, value in found.items())
            output.say(f"{number:>2}/{len(steps)}  {name:<44} {_since(began):>7.2f} s  {detail}")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
