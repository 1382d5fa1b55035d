"""Looking again and again: what a process tells on its stream of what stands in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from domain import PlatformError

log = structlog.get_logger(__name__)

EVERY_S: Final = 1.0


async def look_again(what: str, look: Callable[[], Awaitable[None]]) -> None:
    """Look once a second until cancelled; `what` names it in the log.

    A look that fails leaves readers with what they know, and the next one comes all the same.
    """
    while True:
        try:
            await look()
        except PlatformError as exc:  # The database is away.
            log.warning("stream.not_looked", what=what, error=str(exc))
        except Exception:
            # Our bug. Nobody would see that this task has ended, and its channel would stand still.
            log.exception("stream.not_looked", what=what)
        await asyncio.sleep(EVERY_S)
