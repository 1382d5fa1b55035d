"""Runs one backtest after another in processes of their own, bounded, and followed by what they say.

The process has no database, no settings and no secrets: a folder to write into, the recordings, and its configuration
on standard input. It dies with the worker.
"""

from __future__ import annotations

import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from api.backtests.queue import DONE, FAILED, Claimed, Outcome, Queue
from api.backtests.settings import BacktestSettings
from engine.backtest.job import CURVE, REFUSED, REPORT, RESULT
from runtime.processes import die_with_parent

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.25
"""How often it is told how far it is, and asked whether it shall go on."""
_WALL_FACTOR: Final = 4
_WALL_MORE_S: Final = 300
"""A process that waits for a busy machine is given so many times its processor time, and so many seconds besides."""
_LINE_MAX: Final = 64 * 1024
_FILE_BYTES_MAX: Final = 256 * 1024 * 1024
_KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


class Runner:
    """One worker's.

    Args:
        queue: The rows.
        settings: What a backtest may use.
        recordings: The one folder it may read.
        folder: For what it writes; emptied after each.
        stopping: Whether the worker is to end.
    """

    def __init__(
        self, queue: Queue, settings: BacktestSettings, recordings: Path, folder: Path, stopping: Callable[[], bool]
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._recordings = recordings
        self._folder = folder
        self._stopping = stopping

    def run(self, slot: int) -> bool:
        """Run the next backtest to its end in a slot that is ours alone; give whether there was one.

        Raises:
            VenueUnavailable: The database does not answer; the backtest begins anew when it does.
        """
        if self._stopping() or (claimed := self._queue.claim(slot)) is None:
            return False
        work = self._folder / f"slot-{slot}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            outcome = self._follow(claimed, work)
            if outcome is None:
                self._queue.give_back(claimed.id)
            else:
                self._queue.finish(claimed.id, outcome)
                log.info("backtests.ended", backtest=claimed.id, state=outcome.state, error=outcome.error)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return True

    def _follow(self, claimed: Claimed, work: Path) -> Outcome | None:
        """Run it; None where the worker stops before it has ended."""
        process = self._spawn(claimed, work)
        assert process.stdout is not None
        wall_s = self._settings.cpu_s_max * _WALL_FACTOR + _WALL_MORE_S
        said, deadline = _Said(), time.monotonic() + wall_s
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                looked_s = 0.0
                while True:
                    if selector.select(LOOK_S):
                        piece = os.read(process.stdout.fileno(), 65_536)
                        if not piece:
                            break
                        said.take(piece)
                    if self._stopping():
                        return None
                    if time.monotonic() > deadline:
                        return _too_much(f"more than {wall_s} s went by")
                    if time.monotonic() - looked_s >= LOOK_S:
                        looked_s = time.monotonic()
                        if not self._queue.progress(claimed.id, said.part, said.permille):
                            return Outcome(FAILED, "it was cancelled")  # Written as cancelled, if that is so.
            code = process.wait(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        return self._outcome(code, said, work)

    def _spawn(self, claimed: Claimed, work: Path) -> subprocess.Popen[bytes]:
        config, out = work / "config.json", work / "out"
        config.write_text(claimed.checked)
        limits = [
            (resource.RLIMIT_CPU, self._settings.cpu_s_max),
            (resource.RLIMIT_AS, self._settings.memory_mb_max * 1024**2),
            (resource.RLIMIT_FSIZE, _FILE_BYTES_MAX),
            (resource.RLIMIT_CORE, 0),
        ]

        parent = os.getpid()

        def bounded() -> None:
            die_with_parent(parent)
            for which, most in limits:
                resource.setrlimit(which, (most, most + 5 if which == resource.RLIMIT_CPU else most))

        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        with config.open("rb") as given, (work / "errors").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "engine.backtest.job", str(self._recordings), str(out)],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=work,
                env=kept | threads | {"HOME": str(work)},
                preexec_fn=bounded,  # noqa: PLW1509 - system calls only
                start_new_session=True,
            )

    def _outcome(self, code: int, said: _Said, work: Path) -> Outcome:
        if code == REFUSED and said.error is not None:
            return Outcome(FAILED, str(said.error.get("error", "")), str(said.error.get("hint", "")))
        if code == -signal.SIGXCPU:
            return _too_much(f"it takes more than {self._settings.cpu_s_max} s of processor time")
        if code < 0:
            name = signal.Signals(-code).name
            return _too_much(f"it was ended by {name}: it may have {self._settings.memory_mb_max} MiB of memory")
        out = work / "out"
        if code == 0 and (out / RESULT).exists():
            result, curve = (out / RESULT).read_text(), (out / CURVE).read_text()
            return Outcome(DONE, result=result, curve=curve, report=(out / REPORT).read_bytes())
        errors = (work / "errors").read_text(errors="replace").strip().splitlines()
        log.error("backtests.failed", code=code, last=errors[-1][:500] if errors else "")
        return Outcome(FAILED, "the backtest failed inside", "the worker's log has the details")


def _too_much(error: str) -> Outcome:
    return Outcome(FAILED, error, "less market, fewer strategies, or slower ticks")


class _Said:
    """What the process has said so far."""

    def __init__(self) -> None:
        self.part, self.permille = "starting", 0
        self.error: dict[str, Any] | None = None
        self._rest = b""

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[-_LINE_MAX:]
        for line in lines:
            try:
                told = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue  # A library wrote to standard output.
            if "error" in told:
                self.error = told
            elif isinstance(total := told.get("total"), int) and isinstance(done := told.get("done"), int):
                self.part = str(told.get("part", ""))
                self.permille = min(999, done * 1_000 // total) if total > 0 else 0
