"""How fast strategies run: the quoting strategy native and in Python, a callback on every event. For the benches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import capstan_native as native
import numpy as np

from engine.data.captures import Events
from engine.sdk import Context, EventView, Strategy
from engine.sdk.run import Market, Native, engine_config
from engine.settings import RiskLimits
from engine.strategies.quoting import Quoting

Kind: TypeAlias = Literal["native", "python", "every_event", "nothing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """One run. Seconds are those of the run alone: making it and loading events are not in them."""

    wall_s: float
    cpu_s: float
    events: int
    commands: int
    fills: int
    digest: str


class EveryEvent(Strategy):
    """Is called with every event and does nothing."""

    def on_event(self, ctx: Context, event: EventView) -> None:
        pass


def time_strategy(
    kind: Kind,
    events: Events,
    market: Market,
    *,
    latency_us: int = 1_000,
    interval_ms: float = 100.0,
    size: int = 10,
    position_max: int = 200,
    queue: str = "risk_averse",
    risk: RiskLimits | None = None,
) -> Timing:
    """Run one strategy over events of one instrument (number 0) on a simulated venue, and take the time.

    The order manager, reservations, the risk gate, queue positions, latency and the record of fills and commands are
    all on.

    Args:
        kind: `native` and `python` are the same quoting strategy; `every_event` is a Python callback on each record
            that does nothing; `nothing` is a strategy that is never called.
        events: In local time.
        market: The instrument.
        latency_us: From us to the venue, and as much back.
        interval_ms: Of event time, between two looks of the quoting strategy.
        size: Lots of each quote.
        position_max: Lots from which only the reducing side is quoted.
        queue: See `docs/simulation.md`.
        risk: The gate's limits; without them it checks the same rules against bounds that nothing reaches.
    """
    strategy: Strategy | Native
    match kind:
        case "native":
            interval_ns = round(interval_ms * 1_000_000)
            parameters: dict[str, Any] = {"instrument": 0, "size": size, "behind": 1, "position_max": position_max}
            strategy = ("quoting", {**parameters, "interval_ns": interval_ns})
        case "python":
            strategy = Quoting(size=size, position_max=position_max, interval_ms=interval_ms)
        case "every_event":
            strategy = EveryEvent()
        case "nothing":
            strategy = Strategy()
    config = engine_config((market,), [("s", strategy)], account=market.quote, risk=risk)
    venue = {"venue": 0, "queue": queue, "latency": {"place": (latency_us * 1_000, latency_us * 1_000)}}
    run = native.Backtest(config, (strategy,), [venue])
    buffer, total = np.ascontiguousarray(events).view(np.uint8), len(events)
    wall, cpu = time.perf_counter(), time.process_time()
    run.run(buffer, max(total, 1))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    fills, commands = run.records()
    return Timing(wall, cpu, total, len(commands) // 64, len(fills) // 64, run.digest())
