"""Loggers as new for each test: one that wrote under a test's settings would keep them for the rest of the process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fresh_loggers() -> Iterator[None]:
    """Take back what a test has made of structlog's settings, and of loggers that have settled on them."""
    yield
    renew_loggers()


def renew_loggers() -> None:
    """Forget what was set of structlog, in every module's logger too."""
    structlog = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured():
        return
    structlog.reset_defaults()
    proxy = type(structlog.get_logger())
    for module in list(sys.modules.values()):
        log = vars(module).get("log") if hasattr(module, "__dict__") else None
        if isinstance(log, proxy):
            vars(log).pop("bind", None)
