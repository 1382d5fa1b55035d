"""Changes of a running engine: taken between two events, and what came of each is written down, whatever it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from domain import PlatformError
from domain import events as e
from engine.runner import LiveRunner

WAIT_S: Final = 10.0
"""How long the engine may take to come to an event: it is milliseconds."""
TAKEN: Final = "taken"


async def change(
    runner: LiveRunner, event: e.ParametersChanged | e.StrategyJoined, record: Callable[[str], Awaitable[None]]
) -> None:
    """Have an engine take a change.

    Args:
        runner: The engine.
        event: The change.
        record: Writes down what came of it: `TAKEN`, why not, or that it is not known.

    Raises:
        PlatformError: It was refused, or has not come to it yet.
    """
    outcome = "not known: the engine ended or failed meanwhile"
    try:
        await runner.reconfigure(event, WAIT_S)
        outcome = TAKEN
    except PlatformError as exc:
        outcome = str(exc)
        raise
    finally:
        await record(outcome)
