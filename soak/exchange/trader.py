"""Our process: trades until SIGTERM, and may be killed at any time.

The kernel, the journal and the adapter are the product's; the composition is a small one, without chain, custody and
database: what is under test is whether orders, fills and balances survive.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from cex import CcxtVenue, VenueSettings
from domain import Fill, Instrument, VenueUnavailable
from domain import events as e
from engine.journal import Journal
from engine.runner import LiveRunner
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel
from engine.wiring import Wiring
from runtime import SystemClock, configure_logging
from runtime.processes import die_with_parent, stop_on_signals

SYMBOLS = ("ETHUSDC", "BTCUSDC")
VENUE = "sandbox"
API_KEY, SECRET = "ours-key", "ours-secret"
TIMER_MS = 10
STATUS_S = 0.05
START_AGAIN_S = 0.2
_LOOSE = 10**9


class Books:
    """What was posted, by trade: satisfies the engine's `Bookkeeper`."""

    def __init__(self) -> None:
        self.opening: dict[str, int] = {}
        self.posted: dict[str, str] = {}
        self.contradictions: list[str] = []

    async def post_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        for strategy, fill, _instrument in fills:
            key, content = f"{fill.symbol}/{fill.trade_id}", f"{strategy} {fill}"
            if self.posted.setdefault(key, content) != content:
                self.contradictions.append(key)

    async def open_balances(self, location: str, balances: Mapping[str, int]) -> None:
        for asset, raw in balances.items():
            self.opening.setdefault(asset, raw)


class Status:
    """How far it is, for whoever decides what strikes next."""

    def __init__(self, path: Path, runner: LiveRunner) -> None:
        self._path = path
        self._runner = runner
        self._reached: set[str] = set()
        self.state = "starting"

    def count(self, event: e.Event, _commands: list[e.Command]) -> None:
        if isinstance(event, e.OrderReported) and event.venue_order_id:
            self._reached.add(event.client_order_id)

    def trading(self) -> None:
        orders = self._runner.kernel.orders.orders.values()
        self._reached |= {order.client_order_id for order in orders if order.venue_order_id}
        self.state = "trading"

    def write(self) -> None:
        kernel = self._runner.kernel
        found = {
            "pid": os.getpid(),
            "state": self.state,
            "orders": len(kernel.orders.orders),
            "reached": len(self._reached),
            "fills": kernel.trades_booked,
            "open": len(kernel.orders.open_orders()),
        }
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.rename(self._path)

    async def keep(self) -> None:
        while True:
            self.write()
            await asyncio.sleep(STATUS_S)


def venue_settings(url: str, feed: str) -> VenueSettings:
    return VenueSettings.model_validate(
        {
            "id": VENUE,
            "exchange": "binance",
            "base_url": url,
            "feed": feed,
            "instruments": SYMBOLS,
            "api_key": f"literal-test:{API_KEY}",
            "secret": f"literal-test:{SECRET}",
            "recv_window_ms": 500,
            "request_timeout_ms": 1_000,
            "stale_after_ms": 1_000,
            "poll_ms": 1_000,
        }
    )


def run_config(instruments: Sequence[Instrument], seed: int) -> RunConfig:
    """One strategy under limits that never stop it: this is not about risk."""
    marks = {"USDC": None, "ETH": f"{VENUE}:ETHUSDC", "BTC": f"{VENUE}:BTCUSDC"}
    settings = EngineSettings.model_validate(
        {
            "risk": {
                **dict.fromkeys(
                    ("order_notional_max", "position_notional_max", "exposure_notional_max", "drawdown_max"), _LOOSE
                ),
                "price_collar_bps": 5_000,
                "open_orders_max": 200,
                "open_orders_per_strategy_max": 200,
                "messages_per_second_max": 1_000_000,
                "executions_max": 65_536,
                "executions_window_s": 1,
                "book_age_ms_max": 60_000,
            },
            "assets": {name: {"members": [name]} | ({"mark": at} if at else {}) for name, at in marks.items()},
            "strategies": [
                {
                    "kind": "python",
                    "id": "mix",
                    "strategy": "soak.exchange.strategy:RandomTrader",
                    "parameters": {"seed": seed},
                }
            ],
        }
    )
    return RunConfig(f"f{seed % 10**6}", "live", settings, tuple(instruments), (), None)


class Relay:
    """Holds what the venue tells before there is a runner, and passes the rest on."""

    def __init__(self) -> None:
        self._early: list[e.Event] = []
        self._emit: Callable[[e.Event], None] = self._early.append

    def __call__(self, event: e.Event) -> None:
        self._emit(event)

    def connect(self, emit: Callable[[e.Event], None]) -> None:
        self._emit = emit
        for event in self._early:
            emit(event)


async def trade(url: str, folder: Path, seed: int, feed: str) -> None:
    """Go on from the journal, trade until asked to stop, and leave `result.json`."""
    stop, relay = asyncio.Event(), Relay()
    stop_on_signals(stop)
    venue = await connect(venue_settings(url, feed), relay, stop)
    try:
        config = run_config(tuple(venue.instruments.values()), seed)
        with closing(Journal.open(folder / "journal.bin", config.to_header())) as journal:
            books = Books()
            wiring = Wiring({VENUE: venue}, None, books, SystemClock(), timer_ms=TIMER_MS, queue_max=100_000)
            runner = LiveRunner(build_kernel(config), journal, wiring)
            status = Status(folder / "status.json", runner)
            wiring.on_step = status.count
            relay.connect(runner.emit)
            keeping = asyncio.create_task(status.keep())
            try:
                await runner.run(stop, started=status.trading)
            finally:
                keeping.cancel()
            result = {
                "opening": books.opening,
                "posted": sorted(books.posted),
                "contradictions": books.contradictions,
                "open": [order.client_order_id for order in runner.kernel.orders.open_orders()],
            }
            (folder / "result.json").write_text(json.dumps(result))
    finally:
        await venue.stop()


async def connect(settings: VenueSettings, relay: Relay, stop: asyncio.Event) -> CcxtVenue:
    """Start the venue, again and again while the exchange is not there: it may be dead, or unwilling, just now."""
    while True:
        venue = CcxtVenue(settings, clock=SystemClock())
        try:
            await venue.start(relay)
        except VenueUnavailable as exc:
            print(f"not connected: {exc}", flush=True)
            if stop.is_set():
                raise
            await asyncio.sleep(START_AGAIN_S)
            continue
        return venue


def run_trader(url: str, folder: Path, seed: int, feed: str) -> None:
    """Be the process."""
    die_with_parent()
    with (folder / "trader.out").open("a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    configure_logging(level="warning", file=folder / "trader.log")
    asyncio.run(trade(url, folder, seed, feed))
