"""Children that end with us, at whatever moment we are killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from runtime.processes import is_alive, spawn

KILLED_BETWEEN_FORK_AND_BINDING = """
import os, sys, time
from pathlib import Path
from runtime.processes import die_with_parent

folder, parent = Path(sys.argv[1]), os.getpid()
if not os.fork():
    (folder / "new").write_text(str(os.getpid()))
    (folder / "new").rename(folder / "child")
    while os.getppid() == parent:
        time.sleep(0.01)
    die_with_parent(parent)
    (folder / "outlived").touch()
    time.sleep(60)
time.sleep(60)
"""
KILLED_LATER = """
import sys, time
from pathlib import Path
from runtime.processes import spawn

child = spawn([sys.executable, "-c", "import time; time.sleep(60)"])
(Path(sys.argv[1]) / "new").write_text(str(child.pid))
(Path(sys.argv[1]) / "new").rename(Path(sys.argv[1]) / "child")
time.sleep(60)
"""


@pytest.mark.parametrize("program", [KILLED_BETWEEN_FORK_AND_BINDING, KILLED_LATER], ids=["before", "later"])
def test_a_child_ends_with_its_parent(tmp_path: Path, program: str) -> None:
    parent = spawn([sys.executable, "-c", program, str(tmp_path)], log=tmp_path / "log")
    deadline = time.monotonic() + 30
    try:
        while not (tmp_path / "child").exists():
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
    finally:
        parent.kill()
        parent.wait()
    child = int((tmp_path / "child").read_text())
    try:
        while is_alive(child):
            assert time.monotonic() < deadline, "it outlived its parent"
            time.sleep(0.01)
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGKILL)
    assert not (tmp_path / "outlived").exists()
