"""One `capstan demo` in processes of its own, which die with this one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.processes import die_with_parent, is_alive

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 3600
"""Longer than any run: a run ends when it is told to."""
READY_S = 60.0
END_S = 150.0


class DemoFailed(Exception):
    """The demo did something that no fault excuses: ended early, hung, or left no result."""


class Demo:
    """A demo on one data directory. It may be killed and started again there.

    Args:
        environment: Laid over ours, settings of the engine for instance.
    """

    def __init__(self, data: Path, *, seed: int, with_faults: bool, environment: Mapping[str, str]) -> None:
        self.data = data
        self.seed = seed
        self._with_faults = with_faults
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.pids_seen: set[int] = set()

    def start(self) -> None:
        arguments = ["demo", "--seconds", str(SECONDS), "--seed", str(self.seed), "--json", "--keep-world"]
        arguments += ["--data-dir", str(self.data), *(["--faults"] if self._with_faults else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
        )
        self.pids_seen.add(self._process.pid)

    # --- looking

    def status(self) -> dict[str, Any]:
        """What the engine last said of itself; `state` is "absent" while there is none."""
        return self._read("status.json") or {"state": "absent"}

    def world(self) -> dict[str, Any]:
        """Where chain and exchange are.

        Raises:
            DemoFailed: There is none.
        """
        world = self._read("world.json")
        if world is None:
            raise DemoFailed("there is no world")
        self.pids_seen.add(int(world["pid"]))
        return world

    def engine_pid(self) -> int:
        """The engine's process id, 0 while there is none."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.data / "engine.pid").read_text())
            if is_alive(pid):
                self.pids_seen.add(pid)
                return pid
        return 0

    def signer_pid(self) -> int:
        """The signer's process id, 0 while there is none."""
        if self._process is None:
            return 0
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(OSError):
            for pid in map(int, children.read_text().split()):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"signer" in words and is_alive(pid):
                    self.pids_seen.add(pid)
                    return pid
        return 0

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], *, timeout_s: float = READY_S) -> bool:
        """Wait until the engine's status fulfils a condition; False when it does not in time.

        Raises:
            DemoFailed: The demo ended.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise DemoFailed(f"the demo ended early: {self._last_words()}")
            if condition(self.status()):
                return True
            time.sleep(0.01)
        return False

    def until_trading(self, *, not_pid: int = 0) -> None:
        """Wait until an engine trades, another one than `not_pid`.

        Raises:
            DemoFailed: None does within `READY_S`.
        """
        if not self.wait_for(lambda s: s["state"] == "trading" and self.engine_pid() not in (0, not_pid)):
            raise DemoFailed(f"no engine trades after {READY_S:.0f} s: {self.status()}; {self._last_words()}")

    # --- acting

    def kill(self) -> None:
        """`kill -9` the demo; engine and signer are bound to it, the world is not."""
        if self._process is not None:
            engine, signer = self.engine_pid(), self.signer_pid()
            self._process.kill()
            self._process.communicate()
            for pid in (engine, signer):
                _wait_gone(pid)
            (self.data / "status.json").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ask the demo for a clean end."""
        if self._process is not None:
            self._process.terminate()

    def result(self) -> dict[str, Any]:
        """Wait for the end and give the result.

        Raises:
            DemoFailed: It does not end, or without a result.
        """
        if self._process is None:
            raise DemoFailed("the demo was not started")
        try:
            out, err = self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the demo did not end within {END_S:.0f} s: {self.status()}") from None
        lines = out.strip().splitlines()
        if not lines:
            raise DemoFailed(f"exit code {self._process.returncode} and no result: {err.strip()}; {self._last_words()}")
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    def close(self) -> list[int]:
        """End whatever still runs; give the processes that should have been gone before."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        world = (self._read("world.json") or {}).get("pid", 0)
        (self.data / "world.lease").unlink(missing_ok=True)
        _wait_gone(world, timeout_s=15)
        left = [pid for pid in self.pids_seen if pid and is_alive(pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.data / name).read_text())
        except (OSError, ValueError):
            return None
        return found

    def _last_words(self) -> str:
        words = []
        for name in ("engine", "signer", "world"):
            with contextlib.suppress(OSError):
                lines = (self.data / "logs" / f"{name}.err").read_text(errors="replace").strip().splitlines()
                words += [f"{name}: {line}" for line in lines[-1:]]
        return "; ".join(words) or "no last words"


def _wait_gone(pid: int, *, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while pid and is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
