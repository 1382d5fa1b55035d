"""Which components answer: looked at together, each within its time, and not more often than once a second.

Whoever may ask without a name asks the memory of the last look, so that asking often costs nobody anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from domain import InvariantError, PlatformError

log = structlog.get_logger(__name__)

CHECK_S: Final = 3.0
FRESH_NS: Final = 10**9

Check = Callable[[], Awaitable[str]]
"""Gives how a component is, in words for people; raises `PlatformError` where it does not do its work."""


class State(StrEnum):
    """How a component is."""

    OK = "ok"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of an installation."""

    name: str
    check: Check
    is_required: bool = False
    """Without it this process can answer nothing: it is not ready. All others are told, and hold nothing up: orders are
    not taken without an engine, and its kill switch is reachable all the same."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one component."""

    name: str
    state: State
    detail: str
    """For the house: it may name addresses and files."""
    is_required: bool
    took_ms: float
    seen_ns: int


class Board:
    """Of one process."""

    def __init__(self, components: Sequence[Component], now_ns: Callable[[], int]) -> None:
        self._components = tuple(components)
        self._now_ns = now_ns
        self._found: tuple[Finding, ...] = ()
        self._looked_ns: int | None = None
        self._turn = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(component.name for component in self._components)

    async def look(self) -> tuple[Finding, ...]:
        """How each component is, as of a second ago at most."""
        async with self._turn:
            now = self._now_ns()
            if self._looked_ns is None or not 0 <= now - self._looked_ns < FRESH_NS:
                self._found = await look_at(self._components, self._now_ns)
                self._looked_ns = now
            return self._found


async def look_at(components: Sequence[Component], now_ns: Callable[[], int]) -> tuple[Finding, ...]:
    """Look at components now, all at once."""
    return tuple(await asyncio.gather(*(_look(component, now_ns) for component in components)))


async def _look(component: Component, now_ns: Callable[[], int]) -> Finding:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_S):
            state, detail = State.OK, await component.check()
    except TimeoutError:
        state, detail = State.DOWN, f"no answer within {CHECK_S:g} s"
    except InvariantError as exc:
        log.error("health.failed", component=component.name, error=str(exc))
        state, detail = State.DOWN, str(exc)
    except PlatformError as exc:
        state, detail = State.DOWN, str(exc)
    except Exception as exc:
        # Our bug, or an answer of a form that nobody knows: of this component. The others are told all the same.
        log.exception("health.failed", component=component.name)
        state, detail = State.DOWN, f"it could not be looked at: {type(exc).__name__}"
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    return Finding(component.name, state, detail, component.is_required, took_ms, now_ns())
