"""Logs: an event and its fields, one JSON object a line, without the secrets in them.

Everything that a process writes of itself goes through here: our events and the standard library's records, and with
them every dependency's. What nobody caught comes here by `cli/uncaught.py`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.types import Processor

from runtime.redaction import redact_fields

# structlog's own `dict_tracebacks` writes every frame's local variables: passwords, keys, whatever was there.
_traces = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logging(*, level: str = "INFO", file: Path | None = None, json: bool = True) -> None:
    """Send structlog's events and the standard library's records to standard error or to a file, once per process.

    Of libraries only warnings and worse are written, and what handlers they have put up until here is taken down.

    Args:
        level: Lowest level of ours that is shown.
        file: Append here instead; its folder is created.
        json: JSON lines; otherwise lines for a person at a terminal.
    """
    stream: TextIO = sys.stderr
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a", encoding="utf-8", buffering=1)
    number = logging.getLevelName(level.upper())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Secrets last, when nothing is added any more: a trace has the texts of exceptions, a context what was bound.
    last: list[Processor] = [_traces if json else structlog.processors.format_exc_info, without_secrets, renderer]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number if isinstance(number, int) else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for library in logging.root.manager.loggerDict.values():
        if isinstance(library, logging.Logger):  # One with handlers of its own would write past us.
            library.handlers.clear()
            library.propagate = True


def without_secrets(_logger: Any, _name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take the secrets out of an event (a processor of structlog)."""
    return redact_fields(fields)
