"""Collects events and waits for them without sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from domain import Fill, OrderState
from domain.events import Event, FillReported, OrderReported

E = TypeVar("E")


class Recorder:
    """An `emit` that remembers, and wakes whoever waits for something to have been told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def fills(self, client_order_id: str | None = None) -> list[Fill]:
        fills = [event.fill for event in self.of(FillReported)]
        return [fill for fill in fills if client_order_id in (None, fill.client_order_id)]

    def states(self, client_order_id: str) -> list[OrderState]:
        return [report.state for report in self.of(OrderReported) if report.client_order_id == client_order_id]

    async def until(self, what: Callable[[], bool], timeout_s: float = 15.0) -> None:
        """Return once `what` holds; it is looked at after every event."""
        try:
            async with asyncio.timeout(timeout_s):
                while not what():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s; the last events: {self.events[-8:]}") from None

    async def until_state(self, client_order_id: str, state: OrderState) -> None:
        await self.until(lambda: state in self.states(client_order_id))
