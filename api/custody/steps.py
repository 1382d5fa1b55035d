"""What happened to a withdrawal, a deposit or a transaction, as custody wrote it down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

from api.core.times import instant


class Step(BaseModel):
    """Something that happened to it."""

    step: str
    state: str
    at: datetime
    detail: dict[str, Any]


class Event(Protocol):
    """A row that custody adds with each step."""

    event: str
    state: str
    detail: str
    """JSON, or nothing."""
    time_ns: int


def told(events: Iterable[Event]) -> list[Step]:
    return [
        Step(step=one.event, state=one.state, at=instant(one.time_ns), detail=json.loads(one.detail or "{}"))
        for one in events
    ]
