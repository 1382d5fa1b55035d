"""What a live run is connected to, put together by whoever starts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

from domain import events as e
from engine.ports import Bookkeeper, ExchangeVenue, SwapDesk
from engine.sdk import Signal
from runtime import Clock


@dataclass(slots=True)
class Wiring:
    """The parts of the world a run is connected to."""

    venues: Mapping[str, ExchangeVenue]
    desk: SwapDesk | None
    bookkeeper: Bookkeeper
    clock: Clock
    timer_ms: int = 250
    queue_max: int = 10_000
    wind_down_s: float = 45.0
    """How long a stop waits for what is in flight."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Runs once per start, after the opening balances are booked and before trading: approvals, for instance."""
    first: Callable[[], Sequence[e.Event]] = field(default=lambda: ())
    """What the kernel is told behind the opening, before any market data: limits that hold from a former run."""
    freeze: Callable[[str], Coroutine[None, None, None]] | None = None
    """Freezes custody and the signer, for the last stage of the kill; given the rule that led there."""
    on_signal: Callable[[Signal], None] = field(default=lambda _signal: None)
    on_step: Callable[[e.Event, list[e.Command]], None] = field(default=lambda _event, _commands: None)
