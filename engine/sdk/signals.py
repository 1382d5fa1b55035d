"""What a strategy says it saw and what it made of it: for people and research, never for decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Input: TypeAlias = float | int | str | None


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a named signal with what it was computed from, at an instant of event time."""

    time_ns: int
    strategy: str
    name: str
    value: float
    inputs: Mapping[str, Input] = {}
