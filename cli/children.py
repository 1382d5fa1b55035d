"""Supervised child processes of ours: `capstan …` on one installation, started again when something kills them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from cli.data_dir import DataDir
from domain import VenueUnavailable
from runtime.processes import spawn, terminate

RESTARTS_MAX = 20


class Child:
    """A supervised process: started again when a signal killed it, given up when it ended by itself."""

    def __init__(self, data: DataDir, name: str, arguments: Sequence[str]) -> None:
        self._data = data
        self.name = name
        self._arguments = [sys.executable, "-m", "cli", *arguments, "--data-dir", str(data.root)]
        self._log = data.logs / f"{name}.err"
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def start(self) -> None:
        """Start it; from the main thread, for it ends when the thread that started it does."""
        self.process = spawn(self._arguments, log=self._log)

    def check(self) -> None:
        """Start it again if something killed it.

        Raises:
            VenueUnavailable: It ended by itself, or was killed too often.
        """
        if self.process is None or (code := self.process.poll()) is None:
            return
        if code >= 0 or self.restarts >= RESTARTS_MAX:
            raise VenueUnavailable(f"the {self.name} ended with code {code}: {self.last_words()}")
        self.restarts += 1
        self.start()

    def end(self, *, grace_s: float = 5.0) -> int | None:
        """End it, by force after `grace_s`; its exit code, None if it never started."""
        return None if self.process is None else terminate(self.process, grace_s=grace_s)

    def last_words(self) -> str:
        """The last line it wrote about an error."""
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it left no message"
        errors = [line for line in lines if line.startswith("error:")]
        return (errors or lines or ["it left no message"])[-1]
