"""What the commands print: text for people, one JSON line for machines."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

DEBUG = False
"""Set by `--debug`: tracebacks are shown."""


def emit(value: Any) -> None:
    """Print one line of JSON on standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line for a person on standard error, so that `--json` output stays clean."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(message: str, *, hint: str = "") -> None:
    """Print an error in one line, and how to mend it in a second."""
    say(f"error: {' '.join(message.split())}")
    if hint:
        say(f"  hint: {hint}")
