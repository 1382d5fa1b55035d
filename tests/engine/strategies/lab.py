"""Runs a case: in a backtest, on a part of its data, and on sandbox exchanges through the real runner.

Nothing of the strategy differs between the three, only who stands behind the kernel. On the sandbox everything is real
but the network beyond loopback: signed requests, websockets, journal, recovery from it. The runner's clock may be
faster than the wall's (`Case.speed`), so that hours of bars pass in a moment; requests are signed by the true one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cex import CcxtVenue, VenueSettings
from cex.sandbox import AccountSpec, SandboxConfig, serve, symbol_specs
from domain import events as e
from engine.backtest.data import load_events
from engine.backtest.run import Finished, run_backtest
from engine.data.captures import Events
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.ports import Emit, ExchangeVenue
from engine.replay import replay
from engine.runner import LiveRunner
from engine.sdk import Signal
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel
from engine.wiring import Wiring
from runtime import SystemClock
from tests.engine.places import MemoryBooks
from tests.engine.strategies.cases import CASES, Case
from tests.engine.strategies.flow import Flow

HERE = Path(__file__).parent
SECONDS_MAX = 60.0
"""How long a case may take on the sandbox before it counts as one that does not trade."""


# --- backtests


@cache
def _events(at: int) -> Events:
    return load_events(CASES[at].config(), HERE)


def events_of(case: Case) -> Events:
    """The case's data, made once."""
    return _events(CASES.index(case)) if case in CASES else load_events(case.config(), HERE)


def backtest(case: Case, events: Events | None = None) -> Finished:
    """Run it in a backtest, on its own data or on what is given."""
    return run_backtest(case.config(), events_of(case) if events is None else events, HERE)


def decided_before(run: Finished, time_ns: int) -> list[bytes]:
    """What was commanded before an instant: each command's bytes."""
    return [command.tobytes() for command in run.commands[run.commands["time_ns"] < time_ns]]


def cut(events: Events, share: float) -> Events:
    """The beginning of the data, up to the end of a message."""
    return np.ascontiguousarray(events[: max(1, int(len(events) * share))])


# --- the sandbox


class Relay:
    """Holds what venues tell before the runner is there."""

    def __init__(self) -> None:
        self._early: list[e.Event] = []
        self._emit: Emit = self._early.append

    def emit(self, event: e.Event) -> None:
        self._emit(event)

    def connect(self, emit: Emit) -> None:
        self._emit = emit
        for event in self._early:
            emit(event)


class FastClock:
    """The system's clock, so many times as fast from when it is made."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._wall = time.time_ns()
        self._monotonic = time.monotonic_ns()

    def now_ns(self) -> int:
        return self._wall + round((time.monotonic_ns() - self._monotonic) * self._speed)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass
class Traded:
    """What a run on the sandbox left behind."""

    kernel: NativeKernel
    config: RunConfig
    journal: Path
    signals: list[Signal]
    books: Mapping[str, int]
    """Ours: the postings of every fill."""
    held: Mapping[str, int]
    """What the exchanges say we hold, of what we trade."""
    opening: Mapping[str, int]
    """What they said before."""
    decided: str
    """A digest of every command."""

    def replayed(self) -> str:
        """Rebuild the kernel from the journal, and say what it decided."""
        _header, events = read_journal(self.journal)
        return replay(build_kernel(self.config), events).hex


async def trade_on_sandbox(case: Case, folder: Path) -> Traded:
    """Run until the case has its fills, then stop as an operator does: withdraw, settle, end.

    Raises:
        TimeoutError: It does not trade.
    """
    if not isinstance(case.flow, Flow):
        raise ValueError(case.flow)
    async with AsyncExitStack() as stack:
        venues: dict[str, ExchangeVenue] = {}
        relay = Relay()
        for at, (name, symbols) in enumerate(_venues(case).items()):
            url = await stack.enter_async_context(exchange(case.flow, symbols, case.flow.seed + at))
            venue = CcxtVenue(venue_settings(name, url, symbols), clock=SystemClock())
            await venue.start(relay.emit)
            stack.push_async_callback(venue.stop)
            venues[name] = venue
        config = run_config(case, venues)
        kernel = build_kernel(config)
        journal = Journal.open(folder / "journal.bin", config.to_header())
        stack.callback(journal.close)
        books, signals, stepped = MemoryBooks(), list[Signal](), asyncio.Event()
        wiring = Wiring(
            venues=venues,
            desk=None,
            bookkeeper=books,
            clock=FastClock(case.speed),
            timer_ms=25,
            on_signal=signals.append,
            on_step=lambda _event, _commands: stepped.set(),
        )
        runner = LiveRunner(kernel, journal, wiring)
        opening = await _held(venues, kernel)
        relay.connect(runner.emit)
        stop, started = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(runner.run(stop, started=started.set))
        try:
            async with asyncio.timeout(SECONDS_MAX):
                while not (_has_traded(case, kernel) or task.done()):
                    stepped.clear()
                    await stepped.wait()
        finally:
            stop.set()
            await task
        held = await _held(venues, kernel)
        return Traded(kernel, config, journal.path, signals, books.balances, held, opening, runner.decisions.hex)


def _has_traded(case: Case, kernel: NativeKernel) -> bool:
    """Whether the case has its fills, and each strategy some of them."""
    return kernel.trades_booked >= case.fills and len(kernel.portfolio.strategies()) == len(case.strategies)


async def _held(venues: Mapping[str, ExchangeVenue], kernel: NativeKernel) -> dict[str, int]:
    """What the exchanges say we hold of what the run knows."""
    held: dict[str, int] = {}
    for venue in venues.values():
        held |= {asset: raw for asset, raw in (await venue.balances()).items() if kernel.portfolio.knows(asset)}
    return held


def run_config(case: Case, venues: Mapping[str, ExchangeVenue]) -> RunConfig:
    """The case as an installation's settings have it: the strategies, limits and assets of the backtest."""
    backtest_config = case.config()
    instruments = tuple(i for venue in venues.values() for i in venue.instruments.values())
    marks: dict[str, str | None] = {backtest_config.account: None}
    for instrument in instruments:
        if instrument.quote.symbol == backtest_config.account:
            marks.setdefault(instrument.base.symbol, instrument.id)
    assets = {
        symbol: {"members": [symbol]} if mark is None else {"members": [symbol], "mark": mark}
        for symbol, mark in marks.items()
    }
    settings = EngineSettings.model_validate(
        {
            "risk": backtest_config.risk.model_dump(),
            "assets": assets,
            "strategies": [dict(item) for item in case.strategies],
        }
    )
    return RunConfig("lab", "live", settings, instruments, (), None)


def _venues(case: Case) -> dict[str, list[str]]:
    """Symbols by venue."""
    venues: dict[str, list[str]] = {}
    for name in case.instruments:
        venue, _, symbol = name.partition(":")
        venues.setdefault(venue, []).append(symbol)
    return venues


def venue_settings(name: str, url: str, symbols: list[str]) -> VenueSettings:
    return VenueSettings.model_validate(
        {
            "id": name,
            "exchange": "binance",
            "base_url": url,
            "instruments": tuple(symbols),
            "api_key": "literal-test:lab-key",
            "secret": "literal-test:lab-secret",
        }
    )


@asynccontextmanager
async def exchange(flow: Flow, symbols: list[str], seed: int) -> AsyncIterator[str]:
    """Serve a lively exchange on a free port."""
    account = AccountSpec(
        "lab",
        "lab-key",
        "lab-secret",
        None,
        {"BTC": "100", "ETH": "1000", "USDT": "5000000", "USDC": "5000000"},
    )
    config = SandboxConfig(symbols=symbol_specs(symbols), accounts=(account,), flow=flow.config(), seed=seed)
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(config, stop=stop, ready=port.set_result))
    try:
        await asyncio.wait((serving, port), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield f"http://127.0.0.1:{port.result()}"
    finally:
        stop.set()
        await serving
