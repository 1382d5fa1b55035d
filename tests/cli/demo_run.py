"""Starts the demo as a person would, and looks at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.processes import die_with_parent

ROOT = Path(__file__).resolve().parents[2]


class DemoRun:
    """One `capstan demo --json` in a process of its own, which dies with the test.

    It runs for so long that no machine is too slow for what a test waits for, unless the test says how long.
    """

    def __init__(self, data_dir: Path, *, seconds: int = 600, seed: int = 7) -> None:
        self.data_dir = data_dir
        self.kills = 0
        arguments = ["demo", "--seconds", str(seconds), "--seed", str(seed), "--json", "--data-dir", str(data_dir)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
        )

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((self.data_dir / "status.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {"state": "absent"}

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        """Wait until the engine's status fulfils a condition."""
        deadline = time.monotonic() + timeout_s
        while not condition(status := self.status()):
            if self.process.poll() is not None:
                raise AssertionError(f"the demo ended early: {self.process.communicate()[1]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {status}")
            time.sleep(0.02)
        return status

    def kill_engine(self) -> None:
        """`kill -9` the engine, and forget its last status, so that the next one is the new process's."""
        pid = int((self.data_dir / "engine.pid").read_text())
        (self.data_dir / "status.json").unlink(missing_ok=True)
        os.kill(pid, signal.SIGKILL)
        self.kills += 1

    def stop(self) -> dict[str, Any]:
        """End it as Ctrl-C does: with settled books and a result."""
        self.process.send_signal(signal.SIGINT)
        return self.result()

    def result(self, timeout_s: float = 150) -> dict[str, Any]:
        """Wait for the end; the last line of standard output, read as JSON."""
        out, err = self.process.communicate(timeout=timeout_s)
        assert out.strip(), f"no result; stderr: {err}\nengine: {self._engine_errors()}"
        result = json.loads(out.strip().splitlines()[-1])
        assert self.process.returncode == 0, f"exit {self.process.returncode}: {result}\n{err}"
        return result

    def _engine_errors(self) -> str:
        path = self.data_dir / "logs" / "engine.err"
        return path.read_text()[-2000:] if path.exists() else "none"


def assert_books_are_true(result: dict[str, Any]) -> None:
    """What must hold after every run, however it went."""
    assert result["ledger"]["balanced"] is True, result["ledger"]
    assert result["ledger"]["matches_venues"] is True, result["ledger"]["differences"]
    assert result["open_orders_after_stop"] == 0
