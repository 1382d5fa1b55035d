"""Running the drill: a folder, its steps, and what is left of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cli import output
from cli.drill.house import softhsm_module
from cli.drill.stage import Report, StepFailed, perform
from cli.drill.steps import Drill
from domain import InputError


def run(keep: Path | None, *, as_json: bool) -> None:
    """Do the drill.

    Raises:
        StepFailed: At the first step that fails; with `as_json` the report is printed all the same.
        InputError: The folder exists, or SoftHSM2 is not installed.
    """
    if keep is not None and keep.exists():
        raise InputError(f"{keep} exists: a drill wants a folder of its own")
    softhsm_module()
    root = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="capstan-drill-"))
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    report, drill = Report(), Drill(root)
    try:
        perform(drill.steps(), report, quiet=False)
    except StepFailed:
        if keep is None:
            output.say(f"the drill's folder is left at {root}")
            keep = root
        raise
    finally:
        drill.processes.stop()
        if as_json:
            output.emit(report.view() | ({"folder": str(root)} if keep is not None else {}))
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)
    output.say(f"ok: {len(report.steps)} steps in {report.seconds:.1f} s")
