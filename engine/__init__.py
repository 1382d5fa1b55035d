"""Decides: one deterministic kernel for live, paper and backtest, its strategies, risk gate, journal and reports.

    events ──> Journal ──> Kernel.step ──> commands ──> LiveRunner ──> venues, custody

`build_kernel(RunConfig)` makes a kernel; `LiveRunner` runs it against the world, `engine.replay` over recordings.
"""

from engine.journal import Journal, read_journal
from engine.kernel import Kernel
from engine.ports import Bookkeeper, Emit, ExchangeVenue, SwapDesk
from engine.runner import LiveRunner, Wiring
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel
from engine.strategy import Context, Strategy

__all__ = [
    "Bookkeeper",
    "Context",
    "Emit",
    "EngineSettings",
    "ExchangeVenue",
    "Journal",
    "Kernel",
    "LiveRunner",
    "RunConfig",
    "Strategy",
    "SwapDesk",
    "Wiring",
    "build_kernel",
    "read_journal",
]
