"""Keeping a key's process to itself: no core file, no reader of its memory, no page of it in swap.

Called first thing by every process that holds a key, a share, a phrase or a PIN.
"""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
"""Lock a page when it is first used, so that what is only reserved (stacks, buffers) costs nothing."""
_CAP_IPC_LOCK: Final = 14


@dataclass(frozen=True, slots=True)
class Hardened:
    """What the operating system granted."""

    is_locked: bool
    """Whether no page can go to swap: needs CAP_IPC_LOCK or `ulimit -l unlimited`. Otherwise encrypt swap."""


def harden_memory() -> Hardened:
    """Keep keys out of core files and swap, and other processes of this user out of our memory (Linux)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    # Also without a limit of core files: some kernels hand them to a program, which is not bound by it.
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the process cannot be made undumpable")
    return Hardened(_may_lock() and libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def forget_variable(name: str) -> None:
    """Overwrite an environment variable where the kernel shows it (`/proc/PID/environ`), and keep it from children."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place = getenv(name.encode())
    if place:
        ctypes.memset(place, ord("*"), len(ctypes.string_at(place)))
    os.environ.pop(name, None)


def _may_lock() -> bool:
    # With a limit, locking what comes later would make a later allocation fail, in the middle of something.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        effective = next(line for line in lines if line.startswith("CapEff:"))
        return bool(int(effective.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    except (OSError, StopIteration, ValueError):
        return False
