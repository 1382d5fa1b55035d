"""The API's own copy of what the engine tells, published to the channels of whom it concerns.

    engine.sock ──follow──> Mirror ──> state (read by routes)
                              └──> hub: books and public trades by instrument, everything else by portfolio

While the engine is away the copy says so (`is_live`), and books are no longer valid. P&L is published once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import structlog

from api.portfolios import Directory
from api.streams.hub import Hub
from domain import PlatformError
from engine.feed import text
from runtime.control import follow_control

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.05, 2.0)
PNL_EVERY_S: Final = 1.0
TRADES_KEPT: Final = 1_000
"""Public trades of an instrument that are remembered, the newest."""
_BY_STRATEGY: Final = ("orders", "positions", "strategies")
_CHANNELS: Final = {"alerts": "notices"}
"""Where the engine's word for a topic is not the stream's: alerts there are `api.alerts`."""

Value = dict[str, Any]


class Mirror:
    """Follows one engine."""

    def __init__(self, control: Path, hub: Hub, directory: Directory) -> None:
        self._control = control
        self._hub = hub
        self._directory = directory
        self._epoch = ""
        self._state: dict[str, dict[str, Value]] = defaultdict(dict)
        self._trades: dict[str, deque[Value]] = {}
        self.is_live = False
        self.live = asyncio.Event()
        """Set once the first snapshot has come."""

    def state(self, topic: str) -> Mapping[str, Value]:
        """The newest values of a topic, by key."""
        return self._state[topic]

    def trades(self, instrument: str) -> Sequence[Value]:
        """Public trades of an instrument, the oldest first, each with its number in `epoch`."""
        return self._trades.get(instrument, ())

    @property
    def epoch(self) -> str:
        """Of the engine's process that is followed, or was last."""
        return self._epoch

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(), name="api.mirror")
                tasks.create_task(self._tell_pnl(), name="api.pnl")
        except BaseExceptionGroup as group:
            # Our bug: nobody may take for new what is known from now on.
            log.critical("mirror.failed", error=repr(group.exceptions[0]))
            raise
        finally:
            self.lose()

    async def _follow(self) -> None:
        delay_s = RETRY_S[0]
        while True:
            try:
                stream = follow_control(self._control, {"command": "follow"})
                async with contextlib.aclosing(stream):  # type: ignore[type-var]
                    self.begin(await anext(stream))
                    log.info("mirror.live", epoch=self._epoch)
                    delay_s = RETRY_S[0]
                    async for part in stream:
                        await self._directory.refresh()
                        self.take(part)
            except StopAsyncIteration:
                pass
            except PlatformError as exc:
                if self.is_live:
                    log.warning("mirror.lost", error=str(exc))
            self.lose()
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    def begin(self, snapshot: Value) -> None:
        """Take a whole new state; what readers know is brought up to it."""
        self._epoch = snapshot["epoch"]
        self._state = defaultdict(dict, {topic: dict(values) for topic, values in snapshot["state"].items()})
        self.reassigned()
        for name, book in self._state["books"].items():
            self._hub.replace("books", name, book)
        self._trades.clear()
        for topic, events in snapshot["events"].items():
            self._publish_events([(topic, event) for event in events])
        self.is_live = True
        self.live.set()

    def take(self, part: Value) -> None:
        """Take what changed."""
        changed: dict[tuple[str, str], dict[str, Value | None]] = defaultdict(dict)
        for topic, key, value in part["changes"]:
            known = self._state[topic].get(key)
            if value is None:
                self._state[topic].pop(key, None)
            else:
                self._state[topic][key] = value
            if topic == "books" and value is not None:
                self._hub.publish("books", key, value)
            elif topic in _BY_STRATEGY and (owner := self._owner(value or known)):
                if value is None and key in changed[topic, owner]:
                    # Its last word has to reach the readers before it goes.
                    self._hub.publish(topic, owner, changed.pop((topic, owner)))
                changed[topic, owner][key] = value
        for (topic, owner), values in changed.items():
            self._hub.publish(topic, owner, values)
        self._publish_events(part["events"])

    def reassigned(self) -> None:
        """A strategy went to another portfolio: readers of both are brought up to it."""
        for topic in _BY_STRATEGY:
            grouped = self._by_portfolio(self._state[topic])
            for portfolio in {channel.key for channel in self._hub.channels(topic)} | set(grouped):
                self._hub.replace(topic, portfolio, dict(grouped.get(portfolio, {})))

    def lose(self) -> None:
        """The engine is away: what is known is old, and books are none."""
        self.is_live = False
        for name in tuple(self._state["books"]):
            gone = {"instrument": name, "is_valid": False, "bids": [], "asks": []}
            self._state["books"][name] = gone
            self._hub.publish("books", name, gone)

    async def _tell_pnl(self) -> None:
        while True:
            await asyncio.sleep(PNL_EVERY_S)
            try:
                await self._directory.refresh()
            except PlatformError as exc:
                log.warning("mirror.directory_unknown", error=str(exc))
                continue  # Whose a strategy is may have changed: nothing is told until it is known.
            self.publish_pnl()

    def publish_pnl(self) -> None:
        """Publish results: of each strategy, of each of its instruments, and of the portfolio."""
        told: dict[str, dict[str, Value]] = defaultdict(dict)
        totals: dict[str, list[str | None]] = defaultdict(list)
        for strategy, value in self._state["pnl"].items():
            if strategy and (owner := self._owner(value)):
                told[owner][f"strategy:{strategy}"] = value
                totals[owner].append(value["result"])
        for key, position in self._state["positions"].items():
            if owner := self._owner(position):
                shown = {name: position[name] for name in ("realised", "unrealised", "currency", "fees")}
                told[owner][f"instrument:{key}"] = {
                    "strategy": position["strategy"], "instrument": position["instrument"], **shown,
                }  # fmt: skip
        for owner, results in totals.items():
            known = [Decimal(result) for result in results if result is not None]
            total = text(sum(known, Decimal(0))) if len(known) == len(results) else None
            told[owner]["portfolio"] = {"portfolio": owner, "result": total}
        for owner in {channel.key for channel in self._hub.channels("pnl")} | set(told):
            self._hub.replace("pnl", owner, told.get(owner, {}))

    def _publish_events(self, events: Sequence[tuple[str, Value]]) -> None:
        """Publish events in their order; of an instrument's public trades all at once."""
        trades: dict[str, dict[str, Value]] = defaultdict(dict)
        for topic, event in events:
            if topic != "trades":
                self._publish_event(topic, event)
                continue
            name = event["instrument"]
            self._trades.setdefault(name, deque(maxlen=TRADES_KEPT)).append(event)
            trades[name][f"{self._epoch}-{event['number']}"] = {k: v for k, v in event.items() if k != "number"}
        for name, told in trades.items():
            self._hub.publish("trades", name, told)

    def _publish_event(self, topic: str, event: Value) -> None:
        is_fill = topic == "fills"
        key = f"{event['instrument']}/{event['trade_id']}" if is_fill else f"{self._epoch}-{event['number']}"
        shown = {name: value for name, value in event.items() if name != "number"}
        if event.get("strategy"):
            owners = {owner} if (owner := self._owner(event)) else set()
        else:
            # About accounts and books of all tenants together: the house's. How far the run is stopped is everybody's.
            owners = {rest.id} if (rest := self._directory.rest) is not None else set()
            if event["kind"] == "engine.stage":
                owners |= {channel.key for channel in self._hub.channels("strategies")}
        for owner in sorted(owners):
            self._hub.publish(_CHANNELS.get(topic, topic), owner, {key: shown})

    def _by_portfolio(self, values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
        grouped: dict[str, dict[str, Value]] = defaultdict(dict)
        for key, value in values.items():
            if owner := self._owner(value):
                grouped[owner][key] = value
        return grouped

    def _owner(self, value: Value | None) -> str:
        """Id of the portfolio that a value belongs to, or nothing."""
        portfolio = self._directory.of_strategy(value["strategy"]) if value and value.get("strategy") else None
        return portfolio.id if portfolio is not None else ""
