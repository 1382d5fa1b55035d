"""What is logged meanwhile: each line as its fields, before secrets are taken out of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from runtime.redaction import redact_fields

PATIENCE_S = 60.0
"""How long a line is waited for that must come; nothing is asserted of how long it took."""


class Written:
    """Lines, whichever thread has written them."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []
        self._news = threading.Condition()

    def __call__(self, _logger: Any, _name: str, fields: MutableMapping[str, Any]) -> Any:
        with self._news:
            self._lines.append(dict(fields))
            self._news.notify_all()
        raise structlog.DropEvent

    def all(self, **having: Any) -> list[dict[str, Any]]:
        """Those with these fields, that are there now."""
        with self._news:
            return [line for line in self._lines if having.items() <= line.items()]

    def one(self, **having: Any) -> dict[str, Any]:
        """The one line with these fields. A server writes some only when its answer is out: it is waited for."""
        with self._news:
            assert self._news.wait_for(lambda: self.all(**having), PATIENCE_S), (having, self._lines)
        (line,) = self.all(**having)
        return line

    def check(self, *secrets: str) -> None:
        """None of these stands in any line, and nothing that looks like another did before it was taken out."""
        for line in self.all():
            text = json.dumps(line, default=str)
            assert [secret for secret in secrets if secret in text] == [], line
            assert redact_fields(line) == line


@contextmanager
def logging() -> Iterator[Written]:
    """Have every line of ours written there and nowhere else."""
    written, before = Written(), structlog.get_config()
    first = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    structlog.configure(processors=[*first, written], cache_logger_on_first_use=False)
    try:
        yield written
    finally:
        structlog.configure(**before)
