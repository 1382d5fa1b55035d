"""Child processes that die with us, and signals that end us cleanly."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import gc
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORTS_FROM = 10_000
_PR_SET_PDEATHSIG = 1
_given: set[int] = set()
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to end this process (SIGKILL) when its parent ends. Linux; call in the child, before exec.

    With `parent`, whose id it was before the fork, the process ends at once if the parent was killed before this call.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def spare_the_collector() -> None:
    """Keep all there is by now out of the garbage collector's walks: each took 0.1 s of whoever waits just then."""
    gc.collect()
    gc.freeze()


def spawn(
    arguments: Sequence[str],
    *,
    log: Path | None = None,
    stdout: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    bound_to_parent: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program; its output goes to `log` (appended) unless `stdout` says otherwise.

    With `bound_to_parent` it dies when we do, even by `kill -9`. The parent is the *thread* that calls, so call from
    the main thread.
    """
    sink: int | IO[bytes] = subprocess.DEVNULL
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("ab")
    try:
        return subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            env={**os.environ, **(environment or {})},
            # Two system calls, no lock: safe between fork and exec.
            preexec_fn=partial(die_with_parent, os.getpid()) if bound_to_parent else None,  # noqa: PLW1509
            start_new_session=True,
        )
    finally:
        if not isinstance(sink, int):
            sink.close()


def terminate(process: subprocess.Popen[bytes], *, grace_s: float = 5.0) -> int:
    """End a child: SIGTERM, and SIGKILL when it has not gone within `grace_s`. Returns its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT in the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, and that nobody is given by chance before whoever asked listens on it.

    The system gives its ephemeral ports to every connection that is made meanwhile: so this one lies below them, at
    random, and none is given twice by one process.
    """
    below = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    while True:
        port = _PORTS_FROM + secrets.randbelow(below - _PORTS_FROM)  # Not `random`: tests seed that.
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise
                continue
        if port not in _given:
            _given.add(port)
            return port


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists (and is not a zombie of ours)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"
