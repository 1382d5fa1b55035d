"""What a running engine tells of itself: the status file, the answer on its socket, the latency samples it keeps."""

from __future__ import annotations

import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain import events as e
from engine.native import NativeKernel
from engine.runner import LiveRunner
from engine.sdk import Signal
from runtime import LatencyRecorder


class StatusBoard:
    """Counts what passes and draws the present state; cheap enough for every step.

    Args:
        runner: Whose state.
        labels: What pools are called.
        ramp: The stage of the capital ramp, where there is one.
    """

    def __init__(self, runner: LiveRunner, labels: Mapping[str, str], *, ramp: Mapping[str, Any] | None = None) -> None:
        self._runner = runner
        self._labels = labels
        self.state = "starting"
        self.orders_sent = 0
        self.risk_rejected = 0
        self._ramp = ramp
        self._signals: dict[str, dict[str, dict[str, Any]]] = {}

    def count(self, _event: e.Event, commands: list[e.Command]) -> None:
        for command in commands:
            match command:
                case e.PlaceOrder():
                    self.orders_sent += 1
                case e.RiskRejected():
                    self.risk_rejected += 1

    def take(self, signal: Signal) -> None:
        """Keep the newest value of each signal."""
        shown = {"value": signal.value, "inputs": dict(signal.inputs), "time_ns": signal.time_ns}
        self._signals.setdefault(signal.strategy, {})[signal.name] = shown

    def render(self) -> dict[str, Any]:
        """The status as JSON types."""
        kernel = self._runner.kernel
        priced = [symbol for symbol, mark in kernel.portfolio.mark_instruments().items() if mark is not None]
        return {
            "state": "halted" if kernel.halted else self.state,
            "halted": kernel.halted,
            "books": {name: _book(kernel, name) for name in kernel.markets.books},
            "pools": {self._labels.get(name, name): _pool_mid(kernel, name) for name in kernel.markets.pools},
            "strategies": {
                strategy.id: {
                    "result": round(kernel.result(strategy.id), 4),
                    "positions": {s: round(kernel.portfolio.position(s, strategy.id), 8) for s in priced},
                    "open_orders": len(kernel.orders.open_orders(strategy.id)),
                    "signals": self._signals.get(strategy.id, {}),
                }
                for strategy in kernel.strategies
            },
            "result": round(kernel.result(), 4),
            "open_orders": len(kernel.orders.open_orders()),
            "fills": kernel.trades_booked,
            "swaps": sum(settled.status == "mined" for settled in kernel.settled.values()),
            "swaps_in_flight": len(kernel.swaps),
            "orders_sent": self.orders_sent,
            "risk_rejected": self.risk_rejected,
            "tick_to_order_us": self._runner.tick_to_order.percentiles_us(newest=1_000),
            **({} if self._ramp is None else {"ramp": dict(self._ramp)}),
        }


def _book(kernel: NativeKernel, name: str) -> dict[str, float] | None:
    book = kernel.markets.books[name]
    if not book.valid:
        return None
    bid, ask = book.bids[0][0], book.asks[0][0]
    return {
        "bid": float(book.instrument.price(bid)),
        "ask": float(book.instrument.price(ask)),
        "spread_bps": (ask - bid) / book.mid_ticks * 1e4,
    }


def _pool_mid(kernel: NativeKernel, name: str) -> float | None:
    pool = kernel.markets.pools[name]
    if not pool.replica.is_valid:
        return None
    symbol = kernel.portfolio.economic_symbol(pool.token0.id)
    priced0 = kernel.portfolio.mark_instruments()[symbol] is not None
    return pool.mid(pool.token0.id if priced0 else pool.token1.id)


class LatencyFile:
    """Keeps latency samples over restarts: 8 bytes each, appended; a lost tail only loses samples."""

    def __init__(self, path: Path, recorder: LatencyRecorder) -> None:
        self._path = path
        self._recorder = recorder
        if path.exists():
            data = path.read_bytes()
            for sample in array.array("q", data[: len(data) // 8 * 8]):
                recorder.record(sample)
        self._written = recorder.count

    def save(self) -> None:
        """Append what was recorded since the last time."""
        fresh = self._recorder.since(self._written)
        if fresh:
            with self._path.open("ab") as file:
                file.write(array.array("q", fresh).tobytes())
            self._written = self._recorder.count
