"""Decides: one deterministic kernel for live, paper and backtest, its strategies, risk gate, journal and reports.

    events ──> Journal ──> NativeKernel.step ──> commands ──> LiveRunner ──> venues, custody

`build_kernel(RunConfig)` makes a kernel; `LiveRunner` runs it against the world, `engine.replay` over recordings.

Names are fetched from their modules when they are asked for, so that a backtest or a strategy (`engine.sdk`) starts
without the half second that exchanges, chains and settings take to import.
"""

from importlib import import_module
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
    _HOMES = {
        "engine.journal": ("Journal", "read_journal"),
        "engine.native": ("NativeKernel",),
        "engine.ports": ("Bookkeeper", "Emit", "ExchangeVenue", "SwapDesk"),
        "engine.runner": ("LiveRunner",),
        "engine.wiring": ("Wiring",),
        "engine.settings": ("EngineSettings",),
        "engine.setup": ("RunConfig", "build_kernel"),
        "engine.sdk": ("Context", "Strategy"),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name):
        if name not in _HOME_OF:
            raise AttributeError(f"module 'engine' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
        return value


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
