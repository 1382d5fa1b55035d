"""The life of an alert. What is not in the table is refused."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from api.core.errors import Conflict


class State(StrEnum):
    WAITING = "waiting"
    """It was seen, and not for long enough that anybody is told."""
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Somebody sees to it: it goes no further up."""
    RESOLVED = "resolved"


class Event(StrEnum):
    OPENED = "opened"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


TRANSITIONS: Final = MappingProxyType(
    {
        (State.WAITING, Event.OPENED): State.OPEN,
        (State.OPEN, Event.ESCALATED): State.OPEN,
        (State.OPEN, Event.ACKNOWLEDGED): State.ACKNOWLEDGED,
        (State.OPEN, Event.RESOLVED): State.RESOLVED,
        (State.ACKNOWLEDGED, Event.RESOLVED): State.RESOLVED,
    }
)
TOLD: Final = (State.OPEN, State.ACKNOWLEDGED)
"""States of what is going on."""


class Severity(StrEnum):
    """As PagerDuty has them, the worst last."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        Conflict: Nothing does.
    """
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise Conflict(f"an alert that is {state} cannot be {event}")
    return found
