"""The world outside a demo's installation, for whoever starts it: spawn it, wait for it, keep it, let it go."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from cli.data_dir import DataDir, read_json
from domain import VenueUnavailable
from runtime.processes import is_alive, spawn, terminate

READY_TIMEOUT_S: Final = 60.0
_TOUCH_S: Final = 1.0


def is_resumed(data: DataDir, say: Callable[[str], None]) -> bool:
    """Whether this is an interrupted run whose world is still there, or else a new one.

    Raises:
        VenueUnavailable: The run's own world has ended.
    """
    world = read_json(data.world)
    if world is not None and is_alive(int(world["pid"])):
        say("resuming: the exchange and the chain of this run are still there")
        return True
    if data.journal.exists():
        raise VenueUnavailable(
            f"the exchange and the chain of {data.root} have ended, and with them what the books describe",
            hint="start a new run with another --data-dir",
        )
    say("starting a chain with Uniswap and an exchange …")
    data.world.unlink(missing_ok=True)
    return False


def spawn_world(data: DataDir, seed: int, *, with_faults: bool = False) -> subprocess.Popen[bytes]:
    """Start it; it outlives us by a minute, so that a restart on the same data directory meets the same world."""
    arguments = [sys.executable, "-m", "cli.demo.world", str(data.root), str(seed)]
    if with_faults:
        arguments.append("--faults")
    return spawn(arguments, log=data.logs / "world.err", bound_to_parent=False)


def until_there(data: DataDir, process: subprocess.Popen[bytes] | None) -> dict[str, Any]:
    """Wait for the world, on a thread; `process` is the one on its way, if it was not there before.

    Raises:
        VenueUnavailable: It did not come up.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (world := read_json(data.world)) is None:
        # One that ends with 0 has found another on this data directory, which a killed start left behind.
        if process is not None and (process.poll() not in (None, 0) or time.monotonic() > deadline):
            terminate(process)
            words = (data.logs / "world.err").read_text(errors="replace").strip().splitlines()
            raise VenueUnavailable(f"the demo's world did not start: {words[-1] if words else 'no message'}")
        time.sleep(0.02)
    return world


@contextmanager
def holding(data: DataDir, *, keep_world: bool = False) -> Iterator[None]:
    """Keep the world for as long as the block runs, and let it go then.

    `keep_world` leaves it for a minute, as when this process is killed within the block: whoever resumes finds it.
    """
    done = threading.Event()
    data.lease.touch()

    def touch() -> None:
        while not done.wait(_TOUCH_S):
            data.lease.touch()

    thread = threading.Thread(target=touch, name="demo.lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        # After a resumption it is not our child: its lease is what we have.
        if not keep_world:
            data.lease.unlink(missing_ok=True)
