"""Places off this host that checkpoints are sent to: a directory, or a command of the operator's."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Final, Protocol

from custody.audit.checkpoints import Checkpoint
from domain import InputError, VenueUnavailable

_COMMAND_TIMEOUT_S: Final = 30


class Exporter(Protocol):
    """One place. `name` remembers what it has already."""

    @property
    def name(self) -> str: ...

    def put(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint; the same again changes nothing.

        Raises:
            VenueUnavailable: It is not stored.
        """
        ...


class DirectoryExporter:
    """Writes one file a checkpoint into a folder, best one that is mounted from elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"directory:{folder}"[:200]

    def put(self, checkpoint: Checkpoint) -> None:
        path = self._folder / f"checkpoint-{checkpoint.count:012d}.json"
        try:
            partial = path.with_suffix(".partial")
            with partial.open("w", encoding="utf-8") as file:
                file.write(checkpoint.to_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except OSError as exc:
            raise VenueUnavailable(f"cannot write {path}: {exc.strerror}") from exc


class CommandExporter:
    """Runs a command with the checkpoint's line of JSON on its standard input; exit code 0 means stored."""

    def __init__(self, command: str) -> None:
        self._arguments = shlex.split(command)
        if not self._arguments:
            raise InputError("the command that exports audit checkpoints is empty")
        self.name = f"command:{command}"[:200]

    def put(self, checkpoint: Checkpoint) -> None:
        line = checkpoint.to_json().encode() + b"\n"
        try:
            done = subprocess.run(
                self._arguments, input=line, capture_output=True, timeout=_COMMAND_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise VenueUnavailable(f"cannot run {self._arguments[0]}: {exc}") from exc
        if done.returncode:
            raise VenueUnavailable(f"{self._arguments[0]} ended with {done.returncode}")


def read_checkpoints(folder: Path) -> list[Checkpoint]:
    """Read every checkpoint a folder holds, in order.

    Raises:
        InputError: The folder cannot be read, or a file is no checkpoint.
    """
    try:
        paths = sorted(folder.glob("checkpoint-*.json"))
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}")
        found = []
        for path in paths:
            try:
                found.append(Checkpoint.from_json(path.read_bytes()))
            except InputError as exc:
                raise InputError(f"{path}: {exc}") from exc
    except OSError as exc:
        raise InputError(f"cannot read {folder}: {exc.strerror}") from exc
    return sorted(found, key=lambda checkpoint: checkpoint.count)
