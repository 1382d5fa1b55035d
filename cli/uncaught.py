"""What a process says that nobody caught: warnings, and exceptions that ended a thread, a finalizer or the process.

Python prints them as they are, with whatever secret an exception's text has. What logs them is imported when there is
something to log: every command begins with this module.
"""

from __future__ import annotations

import sys
import threading
import warnings
from types import TracebackType
from typing import TextIO


def log_what_nobody_caught() -> None:
    """Write them as events, without the secrets in them. Once in a process of our own."""
    warnings.showwarning = _warned
    threading.excepthook = _in_thread
    sys.unraisablehook = lambda args: _say("finalizer.failed", args.exc_type, args.exc_value, args.exc_traceback)
    sys.excepthook = lambda kind, error, trace: _say("process.failed", kind, error, trace)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    import structlog

    log = structlog.get_logger("uncaught")
    log.warning("python.warning", category=category.__name__, text=str(message), at=f"{filename}:{lineno}")


def _in_thread(args: threading.ExceptHookArgs) -> None:
    if not issubclass(args.exc_type, SystemExit):
        _say("thread.failed", args.exc_type, args.exc_value, args.exc_traceback)


def _say(event: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    import structlog

    structlog.get_logger("uncaught").error(event, exc_info=(kind, error or kind(), trace))
