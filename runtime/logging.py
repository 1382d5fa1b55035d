"""Logs: an event and its fields, one JSON object a line, secrets masked by name as a last resort."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

_SENSITIVE = ("secret", "password", "mnemonic", "private_key", "seed_phrase", "passphrase", "pin", "token_value")

# structlog's own `dict_tracebacks` writes every frame's local variables: passwords, keys, whatever was there.
_traces = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logging(*, level: str = "INFO", file: Path | None = None, json: bool = True) -> None:
    """Send structlog and the standard library's records to standard error or to a file, once per process.

    Args:
        level: Lowest level shown.
        file: Append here instead; its folder is created.
        json: JSON lines; otherwise lines for a person at a terminal.
    """
    stream: TextIO = sys.stderr
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a", encoding="utf-8", buffering=1)
    number = logging.getLevelName(level.upper())
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s %(message)s", force=True)
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            _traces if json else structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number if isinstance(number, int) else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def _mask(_logger: Any, _name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in fields:
        if any(word in key.lower() for word in _SENSITIVE):
            fields[key] = "***"
    return fields
