"""Our side of the comparisons, by the peers' protocol: the native backtest with native or Python strategies.

Runs with a strategy write a journal to a file, within the clock.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import capstan_native as native
import numpy as np

from bench.peers.child import Feed, Stopwatch, serve
from engine.records import COMMAND, EVENT, CommandKind
from engine.sdk import BookView, Context, EventView, Strategy, Trades
from engine.sdk.run import Market, engine_config

_NAME = "binance:BTCUSDT"
_ACTIONS = (CommandKind.PLACE, CommandKind.AMEND, CommandKind.CANCEL)


class ByMessage(Strategy):
    """Wakes on every message and counts."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.wakes = 0

    def on_book(self, ctx: Context, book: BookView) -> None:
        self.wakes += 1

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        self.wakes += 1


class ByRow(Strategy):
    """Wakes on every record and counts."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.wakes = 0

    def on_event(self, ctx: Context, event: EventView) -> None:
        self.wakes += 1


def backtest(feed: Feed, parameters: dict[str, Any], strategies: tuple[Any, ...], folder: str) -> native.Backtest:
    market = Market(
        name=_NAME,
        base="BTC",
        quote="USDT",
        tick_size=Decimal(str(feed.tick)),
        lot_size=Decimal(str(feed.lot)),
        contract="linear",
        maker_fee_bps=Decimal(str(parameters["maker_fee"])) * 10_000,
        taker_fee_bps=Decimal(str(parameters["taker_fee"])) * 10_000,
    )
    config = engine_config([market], [("s", strategy) for strategy in strategies], account="USDT")
    latency_ns = parameters["latency_ns"]
    venue = {"venue": 0, "queue": "power3", "latency": {"place": (latency_ns, latency_ns)}}
    if not strategies:
        return native.Backtest(config, strategies, [venue], records=False)
    identity = feed.once("identity", lambda: hashlib.sha256(feed.records.tobytes()).digest())
    return native.Backtest(config, strategies, [venue], journal=(Path(folder) / "run.journal", identity))


def run(feed: Feed, parameters: dict[str, Any], watch: Stopwatch, *strategies: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        ours = backtest(feed, parameters, strategies, folder)
        events = feed.records.view(np.uint8)
        watch.start()
        ours.run(events, len(feed.records) + 1)
        watch.stop()
    answer: dict[str, Any] = {"rows": len(feed.records)}
    if strategies:
        fills, commands = ours.records()
        answer["fills"] = len(np.frombuffer(fills, EVENT))
        answer["actions"] = int(np.isin(np.frombuffer(commands, COMMAND)["kind"], _ACTIONS).sum())
        answer["position"] = ours.standing(0, 0)[0]
        answer["digest"] = ours.digest()
    return answer


def replay(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    return run(feed, parameters, watch)


def make_market(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    size, most = parameters["size"], parameters["position_max"]
    interval_ns = parameters["interval_ns"]
    if parameters.get("python"):
        from engine.strategies.quoting import Quoting

        quoting: Any = Quoting("s", size=size, position_max=most, interval_ms=interval_ns / 1e6, instrument=_NAME)
    else:
        settings = {"instrument": 0, "size": size, "behind": 1, "position_max": most, "interval_ns": interval_ns}
        quoting = ("quoting", settings)
    return run(feed, parameters, watch, quoting)


def callbacks(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    watcher = ByMessage() if parameters["by_message"] else ByRow()
    return {"rows": run(feed, parameters, watch, watcher)["rows"], "wakes": watcher.wakes}


if __name__ == "__main__":
    python = ".".join(map(str, sys.version_info[:3]))
    serve({"capstan, Python": python}, {"replay": replay, "make_market": make_market, "callbacks": callbacks})
