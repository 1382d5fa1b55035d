"""The drill's installation: its folders, its processes, and its operator's hands on the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from domain import InputError, VenueUnavailable
from runtime.processes import spawn, terminate

MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    *(str(path) for path in Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")),
)
_READY_S: Final = 40.0


class CommandFailed(VenueUnavailable):
    """A command of the drill ended with an error."""


def capstan(*arguments: str | Path) -> Any:
    """Run a command as an operator would, in this process, and read the JSON it prints.

    Raises:
        CommandFailed: It failed; says what it said.
    """
    from cli.main import main

    words = [str(argument) for argument in arguments]
    said, wrong = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        try:
            main([*words, "--json"])
        except SystemExit as left:
            code = left.code
    if code:
        raise CommandFailed(f"capstan {' '.join(words[:3])} …: {wrong.getvalue().strip() or f'exit code {code}'}")
    lines = said.getvalue().strip().splitlines()
    return json.loads(lines[-1]) if lines else {}


def softhsm_module() -> str:
    """Find SoftHSM2.

    Raises:
        InputError: It is not installed.
    """
    found = next((module for module in MODULES if Path(module).is_file()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        raise InputError("the drill needs SoftHSM2", hint="apt-get install softhsm2")
    return found


@dataclass(slots=True)
class Processes:
    """What runs, by name; each logs to a file of its own."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str | Path) -> dict[str, Any]:
        """Start a service and wait for the line it prints when it is ready.

        Raises:
            VenueUnavailable: It ended, or did not get ready in time.
        """
        self.begin(name, *arguments)
        return self.ready(name)

    def begin(self, name: str, *arguments: str | Path) -> None:
        """Start a service without waiting for it."""
        words = [sys.executable, "-m", "cli", *(str(argument) for argument in arguments), "--json"]
        self.running[name] = spawn(words, log=self.logs / f"{name}.log", stdout=subprocess.PIPE)

    def ready(self, name: str) -> dict[str, Any]:
        """Wait for a service that was begun; errors as `start`."""
        process, deadline, line = self.running[name], time.monotonic() + _READY_S, b""
        if process.stdout is None:
            raise InputError(f"{name} was not begun here")
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not waiting.select(max(0.0, deadline - time.monotonic())):
                    raise VenueUnavailable(f"{name} did not get ready in {_READY_S:g} s", hint=self._last(name))
                read = os.read(process.stdout.fileno(), 65_536)
                if not read:
                    raise VenueUnavailable(f"{name} ended with status {process.wait()}", hint=self._last(name))
                line += read
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self, name: str) -> None:
        """End a service as a power cut does."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, *names: str) -> None:
        """End services in order; all of them, when none is named."""
        for name in names or tuple(reversed(self.running)):
            process = self.running.pop(name, None)
            if process is not None:
                terminate(process)

    def _last(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return lines[-1][:300] if lines else ""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where everything of a drill lies."""

    root: Path

    @property
    def house(self) -> Path:
        """The installation."""
        return self.root / "house"

    @property
    def committee(self) -> Path:
        return self.root / "committee"

    @property
    def second(self) -> Path:
        """Where all of it is restored."""
        return self.root / "second"

    @property
    def people(self) -> Path:
        return self.root / "people"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def softhsm(self) -> Path:
        return self.root / "softhsm2.conf"

    def file(self, name: str) -> str:
        """A reference to a file of the drill's own secrets."""
        return f"file:{self.root / name}"


def write_secret(path: Path, text: str) -> None:
    """Write a file for this user only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def softhsm_tokens(folders: Folders, labels: Sequence[str], *, pin: str, officer_pin: str) -> None:
    """Make tokens in the drill's own folder; SoftHSM2 finds them by its environment variable."""
    tokens = folders.root / "tokens"
    tokens.mkdir()
    folders.softhsm.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n", encoding="utf-8"
    )
    os.environ["SOFTHSM2_CONF"] = str(folders.softhsm)
    for label in labels:
        done = subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", officer_pin],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InputError(f"softhsm2-util cannot make token {label}: {done.stderr.strip()}")
