"""Decides: one deterministic kernel for live, paper and backtest, its strategies, risk gate, journal and reports.

    events ──> Journal ──> NativeKernel.step ──> commands ──> LiveRunner ──> venues, custody

`build_kernel(RunConfig)` makes a kernel; `LiveRunner` runs it against the world, `engine.replay` over recordings.

Names are fetched from their modules when they are asked for, so that a backtest or a strategy (`engine.sdk`) starts
without the half second that exchanges, chains and settings take to import.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.journal import Journal, read_journal
    from engine.native import NativeKernel
    from engine.ports import Bookkeeper, Emit, ExchangeVenue, SwapDesk
    from engine.runner import LiveRunner
    from engine.sdk import Context, Strategy
    from engine.settings import EngineSettings
    from engine.setup import RunConfig, build_kernel
    from engine.wiring import Wiring
else:
    from runtime.fronts import lazily

    _HOMES = {
        "engine.journal": "Journal read_journal",
        "engine.native": "NativeKernel",
        "engine.ports": "Bookkeeper Emit ExchangeVenue SwapDesk",
        "engine.runner": "LiveRunner",
        "engine.sdk": "Context Strategy",
        "engine.settings": "EngineSettings",
        "engine.setup": "RunConfig build_kernel",
        "engine.wiring": "Wiring",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "Bookkeeper",
    "Context",
    "Emit",
    "EngineSettings",
    "ExchangeVenue",
    "Journal",
    "LiveRunner",
    "NativeKernel",
    "RunConfig",
    "Strategy",
    "SwapDesk",
    "Wiring",
    "build_kernel",
    "read_journal",
]
