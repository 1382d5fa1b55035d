"""Answers of tasks as files of a folder, put whole: what the embedded broker is for tasks that answer.

Celery's filesystem backend opens a result's file, then writes it: whoever asks in between reads half an answer and
fails. Here a file has its name only once it is written.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from celery.backends.filesystem import FilesystemBackend


class FolderBackend(FilesystemBackend):  # type: ignore[misc]  # Celery is untyped.
    """See the module."""

    def set(self, key: bytes, value: str | bytes) -> None:
        path = Path(os.fsdecode(self._filename(key)))
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        unfinished.write_bytes(value.encode() if isinstance(value, str) else value)
        unfinished.replace(path)


def results_in(folder: Path) -> str:
    """The address of a backend in a folder, which is made when it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"{__name__}:FolderBackend+file://{folder.resolve()}"
