"""How the market of a sandbox exchange behaves in the lab: lively, so that a second there holds what a minute holds."""

from __future__ import annotations

from dataclasses import dataclass

from cex.sandbox import FlowConfig


@dataclass(frozen=True)
class Flow:
    """What a case may turn. Rates are per second of the wall."""

    volatility: float = 0.002
    """Standard deviation of the log price over one second."""
    jump_rate: float = 0.5
    jump_size: float = 0.002
    arrival_rate: float = 20.0
    half_spread_bps: float = 1.0
    level_spacing_bps: float = 1.0
    level_notional: float = 20_000.0
    taker_notional: float = 4_000.0
    levels: int = 12
    seed: int = 7
    """Of the first venue; the next has the next: their prices drift apart."""

    def config(self) -> FlowConfig:
        return FlowConfig(
            volatility=self.volatility,
            jump_rate=self.jump_rate,
            jump_size=self.jump_size,
            arrival_rate=self.arrival_rate,
            half_spread_bps=self.half_spread_bps,
            level_spacing_bps=self.level_spacing_bps,
            level_notional=self.level_notional,
            taker_notional=self.taker_notional,
            levels=self.levels,
            step_ms=25,
        )
