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


def table(result: dict[str, object], *, as_json: bool) -> None:
    """Print named values: a line of JSON for machines, a row each for people."""
    if as_json:
        emit(result)
        return
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, show_header=False, pad_edge=False)
    for key, value in result.items():
        rows.add_row(key, str(value))
    Console().print(rows)


def say(text: str) -> None:
    """Print a line for a person on standard error, so that `--json` output stays clean."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(message: str, *, hint: str = "") -> None:
    """Print an error in one line, and how to mend it in a second."""
    say(f"error: {' '.join(message.split())}")
    if hint:
        say(f"  hint: {hint}")
