"""Starts the demo's processes, watches them, restarts the engine when it dies, and collects the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from cli import output
from cli.children import Child
from cli.data_dir import DataDir, read_json
from cli.demo.installation import prepare_keys, prepare_settings
from cli.demo.outside import READY_TIMEOUT_S, holding, is_resumed, spawn_world, until_there
from domain import VenueUnavailable
from runtime.processes import stop_on_signals

STOP_TIMEOUT_S = 120.0
"""More than an engine takes at worst: 45 s to wind down, 20 s for the last cancel, 30 s for custody, and the report."""


async def run_demo(
    data: DataDir,
    *,
    seconds: int,
    seed: int,
    live: bool,
    quiet: bool,
    keep_world: bool,
    with_faults: bool = False,
) -> dict[str, Any]:
    """Run the whole demo; return the result the engine wrote.

    `with_faults` opens the door through which faults are switched on at the exchange (`soak/` does).

    Raises:
        VenueUnavailable: A part did not start, or the engine failed for good; the message ends with its last words.
    """
    data.root.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    stop_on_signals(stop)
    say: Callable[[str], None] = (lambda _text: None) if quiet else output.say
    began = time.monotonic()
    is_old = is_resumed(data, say)
    signer, engine = Child(data, "signer", ["signer", "serve"]), _Engine(data)

    def check() -> None:
        signer.check()
        if read_json(data.result) is None:
            engine.check()

    with holding(data, keep_world=keep_world):
        try:
            # All at once, since each spends its first seconds with imports; the engine waits for the settings.
            world = None if is_old else spawn_world(data, seed, with_faults=with_faults)
            engine.start()
            await asyncio.to_thread(prepare_keys, data)
            prepare_settings(data, await asyncio.to_thread(until_there, data, world))
            signer.start()
            await engine.until_trading(check)
            say(f"trading for {seconds} s (data in {data.root}, started in {time.monotonic() - began:.1f} s)")
            await _trade(data, engine, check, seconds, stop, live=live)
            say("stopping: withdrawing quotes, settling what is in flight, comparing the books with exchange and chain")
            await engine.stop(check)
            result = read_json(data.result)
            if result is None:
                raise VenueUnavailable(f"the engine ended without a result: {engine.last_words()}")
            return result
        finally:
            engine.end()
            signer.end()


class _Engine(Child):
    """The engine: knows when it trades, and how to end it with settled books."""

    def __init__(self, data: DataDir) -> None:
        super().__init__(data, "engine", ["engine", "run", "--await-settings", f"{READY_TIMEOUT_S:.0f}"])

    def start(self) -> None:
        self._data.status.unlink(missing_ok=True)
        super().start()

    async def until_trading(self, check: Callable[[], None]) -> None:
        """Wait until the engine says it trades, through restarts."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (status := read_json(self._data.status)) is None or status["state"] == "starting":
            check()
            if time.monotonic() > deadline:
                raise VenueUnavailable(f"the engine is not ready after {READY_TIMEOUT_S:.0f} s: {self.last_words()}")
            await asyncio.sleep(0.05)

    async def stop(self, check: Callable[[], None]) -> None:
        """Ask for a clean end. An engine killed on the way is started again: only a clean end has settled books."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        asked: int | None = None
        while read_json(self._data.result) is None:
            # Not asked before it can listen: a SIGTERM while it starts would end it without a result.
            if self.process is not None and asked != self.process.pid and read_json(self._data.status) is not None:
                self.process.terminate()
                asked = self.process.pid
            check()
            if time.monotonic() > deadline:
                raise VenueUnavailable(f"the engine did not end within {STOP_TIMEOUT_S:.0f} s: {self.last_words()}")
            await asyncio.sleep(0.05)


async def _trade(
    data: DataDir, engine: _Engine, check: Callable[[], None], seconds: int, stop: asyncio.Event, *, live: bool
) -> None:
    from cli.demo.view import LiveView

    end = time.monotonic() + seconds
    with LiveView(enabled=live) as view:
        while (left := end - time.monotonic()) > 0 and not stop.is_set():
            check()
            status = read_json(data.status)
            if status is not None:
                view.show(status, seconds_left=left, restarts=engine.restarts)
                if status["state"] == "halted" and not live:
                    break
            await asyncio.sleep(min(0.25, left))
